"""What a packed file may consist of, judged when it is opened and before any of its values is read.

HDF5 can lead out of a file (links, values kept in other files, views of other files, references) and promise more
than the file holds. A packed file needs none of it: groups and datasets in their places, every value in a chunk of
this file under its checksum, and a few short attributes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5l, h5z

CHUNK = 1 << 20  # bytes of the largest chunk
CHECKSUM = 4  # bytes behind each chunk
MOST_SMALL = 100  # chunks below the largest: their size is estimated before images are decoded
MOST_ATTRIBUTE = 1 << 16  # bytes


def open_group(parent: Any, name: str) -> Any:
    """Return the group of a name; raises ValueError for a link, KeyError or ValueError where it is no group."""
    _refuse_link(parent, name)
    return h5g.open(parent, name.encode())


def measure(parent: Any, name: str, kind: npt.DTypeLike) -> tuple[int, int]:
    """Return the rows of a flat dataset and the bytes it takes in the file; none of its values is read.

    Raises ValueError where its values are not all in this file, in chunks of at most 1 MiB with a checksum each.
    """
    _refuse_link(parent, name)
    found = h5d.open(parent, name.encode())
    stored = found.get_create_plist()
    if stored.get_layout() != h5d.CHUNKED:  # contiguous values have no checksum; others lie in another file
        raise ValueError("its values are not in chunks of this file")
    if stored.get_nfilters() != 1 or stored.get_filter(0)[0] != h5z.FILTER_FLETCHER32:
        raise ValueError("its values have no Fletcher32 checksum, or a filter beside it")
    shape, wanted = found.shape, np.dtype(kind)
    if len(shape) != 1 or found.dtype != wanted:
        raise ValueError(f"it is not a flat dataset of {wanted}")
    if h5a.get_num_attrs(found):
        raise ValueError("it has attributes")
    return shape[0], _stored(found, shape[0], stored.get_chunk()[0], wanted.itemsize)


def _stored(dataset: Any, rows: int, chunk: int, itemsize: int) -> int:
    """Return the bytes that a dataset takes in the file; raises ValueError where its shape needs others."""
    length, count = chunk * itemsize, -(-rows // chunk)
    if length > CHUNK:
        raise ValueError(f"its chunks have {length:,} bytes, the limit is {CHUNK:,}")
    if count > MOST_SMALL + 2 * rows * itemsize // CHUNK:
        raise ValueError(f"it has {count:,} chunks of {length:,} bytes, too many for {rows:,} values")
    taken = count * (length + CHECKSUM)  # chunks are never compressed
    if dataset.get_storage_size() != taken:  # some were never written, or written without a checksum
        raise ValueError(f"the file does not hold its {rows:,} values with their checksums")
    return taken


def attribute(holder: Any, name: str) -> Any:
    """Return one short number, truth value or text of fixed length; raises KeyError where it is missing.

    Raises TypeError for anything else: HDF5 keeps text of variable length in a heap without a checksum, where a
    flipped bit can keep the library busy forever.
    """
    found = h5a.open(holder, name.encode())
    kind = found.dtype
    if found.shape != () or kind.kind not in "Sbiu" or kind.itemsize > MOST_ATTRIBUTE:
        raise TypeError(f"its attribute {name} is not a number or text of fixed length")
    value = np.empty((), kind)
    found.read(value)
    return value[()]


def has(holder: Any, name: str) -> bool:
    """Return whether there is such an attribute."""
    return bool(h5a.exists(holder, name.encode()))


def text(holder: Any, name: str) -> str:
    """Return a text attribute; raises KeyError where it is missing, TypeError where it has another type."""
    found = attribute(holder, name)
    if not isinstance(found, bytes):
        raise TypeError(f"its attribute {name} is not text of fixed length")
    return found.decode("ascii")


def refuse_others(holder: Any, attributes: int, members: int) -> None:
    """Raise ValueError for a group of more attributes or members than were found to be those of a packed file."""
    if h5a.get_num_attrs(holder) != attributes or holder.get_num_objs() != members:
        raise ValueError("it holds what no packed file holds")


def _refuse_link(parent: Any, name: str) -> None:
    """Raise ValueError for any link that names another place: following it could open whatever it names."""
    if parent.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise ValueError("it is a link to another place")
