"""Add a user's own data set, in any common format, to a packed file as one more domain."""
