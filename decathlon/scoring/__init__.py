"""Scoring: results, ground truth and a baseline give a score. Nothing here loads torch."""
