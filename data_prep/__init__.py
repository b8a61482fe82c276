"""Turn image files into one packed HDF5 file; nothing here imports torch."""
