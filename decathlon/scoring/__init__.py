"""Results and ground truth and a baseline make a score. Nothing here loads torch."""
