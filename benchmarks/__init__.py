"""Measurements of speed and quality, run from the repository's folder: `python -m benchmarks.table --help`."""
