"""Decode, measure, write, check and extend a packed file."""
