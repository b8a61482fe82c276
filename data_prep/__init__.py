"""Image files on disk become one packed HDF5 file; nothing here imports torch."""
