"""A user's own data set, read from the forms people keep images in, as one more domain of a packed file."""
