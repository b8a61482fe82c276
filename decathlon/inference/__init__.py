"""From a run to predictions, and to files that serve."""
