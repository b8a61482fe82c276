"""The original data sets of the ten domains, one file each: `LAYOUT` says what is needed, `read(tree)` reads it."""
