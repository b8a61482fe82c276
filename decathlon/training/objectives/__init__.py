"""What a micro-batch is trained on, one objective a file: its name is the recipe's `objective`."""
