"""How the domains' losses are balanced, one weighting a file: its name is the recipe's `weighting`."""
