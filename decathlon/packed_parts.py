"""Attributes and datasets of a packed file, taken only where they are of the kind that was written."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from decathlon.packed_split import DTYPES


def text(holder: Any, name: str) -> str:
    """Return an attribute that is text; raises KeyError where there is none, TypeError where it is another.

    It is written with a fixed length: text of variable length stands in a heap without a checksum, where a flipped
    bit can keep the HDF5 library busy for ever. Files from before that was so have such text and are read.
    """
    found = holder.attrs[name]
    if isinstance(found, bytes):  # of h5py's kinds of fixed length, too
        found = found.decode("ascii")
    if not isinstance(found, str):
        raise TypeError(f"its attribute {name} is no text")
    return str(found)


def fixed(value: str) -> np.bytes_:
    """Return text as an attribute of fixed length: see `text`."""
    return np.bytes_(value.encode("ascii"))


def dataset(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Return a flat dataset of the type its column has, in a file of `size` bytes.

    Raises KeyError where it is not there, TypeError where it is another or would need more memory than the file.
    """
    found, wanted = file[name], np.dtype(DTYPES.get(name.rpartition("/")[2], np.uint8))
    if not isinstance(found, h5py.Dataset) or found.shape is None or len(found.shape) != 1 or found.dtype != wanted:
        raise TypeError(f"it is no flat dataset of {wanted}")
    if found.size * wanted.itemsize > size:
        raise TypeError("it is larger than the file")
    return found
