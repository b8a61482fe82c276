"""Bytes that others wrote: archives, names, file trees, COCO JSON, references to images."""
