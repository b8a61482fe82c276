"""Gradient steps, from a loaded network to a trained one; knows nothing of requests."""
