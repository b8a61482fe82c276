"""The ten data sets, one file each: `LAYOUT` says what is needed, `read(tree)` reads it."""
