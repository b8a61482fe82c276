"""Losses beside the one on labels, dropped after training, one a file: its name is what `--auxiliaries` takes."""
