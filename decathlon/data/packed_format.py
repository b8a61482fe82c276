"""The parts of a packed file, each accepted only in the form it was written in."""

import errno
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from decathlon.errors import DataError

FORMAT = "decathlon-pack"
VERSION = 1
PREPARE = "Make it with 'decathlon data prepare SOURCE -o FILE.h5'"


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading; raises DataError when that is not possible."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would wait forever
            raise DataError(f"cannot open {path}: it is not a regular file. {PREPARE}.")
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"cannot open {path}: {_reason(path, error)}.") from None


def check_finished(file: h5py.File, path: Path) -> None:
    """Raise DataError for a file that is not a packed file, has another version or was never finished."""
    attributes = file.attrs
    if "format" not in attributes or text(file, "format") != FORMAT:
        raise DataError(f"{path} is not a packed file. {PREPARE}.")
    version, complete = attributes.get("version"), attributes.get("complete")
    if not isinstance(version, np.integer) or version != VERSION:
        problem = f"{path} has format version {str(version)[:40]}, this release reads {VERSION}"
        raise DataError(f"{problem}. Prepare it again.")
    if not isinstance(complete, np.bool_) or not complete:
        raise DataError(f"{path} was never finished. Prepare it again.")


def text(holder: Any, name: str) -> str:
    """Return a text attribute; raises KeyError when it is missing, TypeError when it has another type.

    Text is written with a fixed length: HDF5 keeps text of variable length in a heap without a checksum, where a
    flipped bit can keep the library busy forever.
    """
    found = holder.attrs[name]
    if not isinstance(found, bytes):
        raise TypeError(f"its attribute {name} is not text of fixed length")
    return found.decode("ascii")


def fixed(value: str) -> np.bytes_:
    """Return text as an attribute of fixed length, see `text`."""
    return np.bytes_(value.encode("ascii"))


def dataset(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    """Return a flat dataset with the type of its column, from a file of `size` bytes.

    Raises KeyError when it is missing, TypeError when it is of another type or larger than the file.
    """
    found, wanted = file[name], np.dtype(DTYPES.get(name.rpartition("/")[2], np.uint8))
    if not isinstance(found, h5py.Dataset) or found.shape is None or len(found.shape) != 1 or found.dtype != wanted:
        raise TypeError(f"it is not a flat dataset of {wanted}")
    if found.size * wanted.itemsize > size:
        raise TypeError("it is larger than the file")
    return found


def _reason(path: Path, error: OSError) -> str:
    """Return why a file cannot be opened, shorter than HDF5 puts it."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"no such file. {PREPARE}"
    if path.is_dir():
        return f"it is a folder. {PREPARE}"
    if error.errno is not None:
        return f"{os.strerror(error.errno)}. Check the file and its permissions"
    return f"it is not HDF5 or damaged ({error}). {PREPARE}"


@dataclass(frozen=True)
class PackedSplit:
    """One split of one domain as arrays; the columns of the packed file."""

    pixels: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.uint16]
    width: npt.NDArray[np.uint16]
    label: npt.NDArray[np.int32]
    image_id: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_id)

    def image(self, i: int) -> npt.NDArray[np.uint8]:
        """Return image `i` as (height, width, 3)."""
        begin, end = self.offset[i], self.offset[i + 1]
        return self.pixels[begin:end].reshape(int(self.height[i]), int(self.width[i]), 3)


COLUMNS = tuple(field.name for field in fields(PackedSplit))
IMAGES = ("pixels", "height", "width", "image_id")  # what says which images a split holds, whatever their labels
DTYPES = dict(zip(COLUMNS, (np.uint8, np.int64, np.uint16, np.uint16, np.int32, np.int64), strict=True))
