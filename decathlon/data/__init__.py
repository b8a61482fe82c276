"""A benchmark as it is read: domains, the packed file, pixels in memory, ground truth."""
