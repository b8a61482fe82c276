"""The parts of a packed file, each accepted only in the form it was written in."""

import errno
import os
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from decathlon.data.domains import MAX_PIXELS, MAX_RATIO
from decathlon.data.packed_structure import attribute, has, text
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
    root = file.id
    if not has(root, "format") or text(root, "format") != FORMAT:
        raise DataError(f"{path} is not a packed file. {PREPARE}.")
    version, complete = (attribute(root, name) if has(root, name) else None for name in ("version", "complete"))
    if not isinstance(version, np.integer) or version != VERSION:
        problem = f"{path} has format version {str(version)[:40]}, this release reads {VERSION}"
        raise DataError(f"{problem}. Prepare it again.")
    if not isinstance(complete, np.bool_) or not complete:
        raise DataError(f"{path} was never finished. Prepare it again.")


def fixed(value: str) -> np.bytes_:
    """Return text as an attribute of fixed length, see `attribute`."""
    return np.bytes_(value.encode("ascii"))


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


def size_fault(height: npt.NDArray[np.integer], width: npt.NDArray[np.integer]) -> str | None:
    """Return what no image can be that was packed: without a pixel, too thin or too large; None where none is."""
    short, long = np.minimum(height, width).astype(np.int64), np.maximum(height, width).astype(np.int64)
    if not short.all():
        return "an image without a pixel"
    if (long > MAX_RATIO * short).any():
        return f"an image above the aspect ratio {MAX_RATIO} to 1"
    return f"an image of more than {MAX_PIXELS:,} pixels" if (long * short > MAX_PIXELS).any() else None
