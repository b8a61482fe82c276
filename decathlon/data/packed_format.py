"""What a packed file is made of, taken only where it is of the kind that was written."""

from __future__ import annotations

import errno
import hashlib
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
_MAKE = "make it with 'decathlon data prepare SOURCE -o FILE.h5'"


def opened(path: Path) -> h5py.File:
    """Open a file to read; raises DataError where that is not possible."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # to open a pipe is to wait for ever
            raise DataError(f"cannot open {path}: it is no regular file; {_MAKE}.")
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"cannot open {path}: {_reason(path, error)}.") from None


def check_finished(file: h5py.File, path: Path) -> None:
    """Raise DataError for what is no packed file, of another version, or was never finished."""
    attributes = file.attrs
    if "format" not in attributes or text(file, "format") != FORMAT:
        raise DataError(f"{path} is not a packed file; {_MAKE}.")
    version, complete = attributes.get("version"), attributes.get("complete")
    if not isinstance(version, np.integer) or version != VERSION:
        raise DataError(
            f"{path} has format version {str(version)[:40]}, this release reads {VERSION}: prepare it again."
        )
    if not isinstance(complete, np.bool_) or not complete:
        raise DataError(f"{path} was never finished: prepare it again.")


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


def _reason(path: Path, error: OSError) -> str:
    """Say why a file cannot be opened; HDF5 tells the system's errors at length."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no such file; {_MAKE}"
    if path.is_dir():
        return f"it is a folder; {_MAKE}"
    if error.errno is not None:
        return f"{os.strerror(error.errno)}; check the file and its permissions"
    return f"it cannot be read ({error}); {_MAKE}"


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
DTYPES = dict(zip(COLUMNS, (np.uint8, np.int64, np.uint16, np.uint16, np.int32, np.int64), strict=True))


def digest_columns(split: PackedSplit) -> str:
    """Return the digest of a split held in memory; equal to what a streaming writer gets from `combine`."""
    return combine({c: hashlib.sha256(np.ascontiguousarray(getattr(split, c)).data).hexdigest() for c in COLUMNS})


def combine(digests: dict[str, str]) -> str:
    """Return one SHA-256 over named SHA-256 digests, in the order of their names."""
    text = "".join(f"{name}:{digests[name]};" for name in sorted(digests))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # a damaged one may hold any character
