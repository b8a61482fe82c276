"""A benchmark as read: domains, the packed file, pixels in memory, ground truth."""
