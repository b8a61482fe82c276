"""A benchmark as read: image files, domains, the packed file, pixels in memory, ground truth."""
