"""Describe a packed file, and write it back as images."""
