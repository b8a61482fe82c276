"""A run on disk: its record, weights, checkpoints and logs."""
