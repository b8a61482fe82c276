"""What the machine refuses: memory, space on a disk, a permission. Each becomes one sentence with what helps."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from decathlon.errors import ResourceError

_SPACE = "free some space or choose another place"
_RIGHTS = "choose another place, or get the right to write there"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the link that is there",
    errno.EISDIR: "remove the folder that is there, or choose another place",
    errno.ENOTDIR: "choose another place, a file stands where a folder would be",
    errno.EEXIST: "choose another place, a file stands where a folder would be",
}
# How torch, HDF5 and the system say it; torch has a class of its own for GPUs only, RuntimeError for the rest.
_LACK = re.compile(r"out of memory|an(no|')t allocate memory|emory allocation failed|ALLOC_FAILED", re.IGNORECASE)
_GPU = re.compile(r"CUDA|CUBLAS|CUDNN")
_WANTED = re.compile(r"(?:tried to|unable to) allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)


def unwritable(path: Path, error: OSError | str) -> ResourceError:
    """Return the error for a file or folder that cannot be written."""
    if isinstance(error, str):
        return ResourceError(f"cannot write {path} ({error}): {_SPACE}.")
    remedy = _REMEDIES.get(error.errno or 0, "check the disk, or choose another place")
    return ResourceError(f"cannot write {path} ({error.strerror or error}): {remedy}.")


def refuse_unwritable(path: Path) -> None:
    """Raise ResourceError where `path` lies in a folder that nothing can be written to."""
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ResourceError for an OSError of the block, which does nothing but write `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


@contextlib.contextmanager
def memory_for(work: str, remedy: str) -> Iterator[None]:
    """Raise ResourceError for a lack of memory in the block; `work` is as `with --batch 8`, `remedy` what helps."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not lacks_memory(error):
            raise
        raise out_of_memory(error, work, remedy) from None


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error, of whatever class, tells that there is no memory, in the host or on a GPU."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError) and _LACK.search(str(error)) is not None
    )


def out_of_memory(error: BaseException, work: str = "", remedy: str = "end other programs first") -> ResourceError:
    """Return the error for a lack of memory, with how much more was wanted where that is known."""
    kind = "GPU memory" if _GPU.search(str(error)) else "memory"
    return ResourceError(f"out of {' '.join(filter(None, (kind, work)))}{_wanted(str(error))}: {remedy}.")


def _wanted(text: str) -> str:
    found = _WANTED.search(text)
    if found is None:
        return ""
    number, unit = found.groups()
    if unit == "bytes":
        number, unit = f"{int(float(number)) / 2**20:,.1f}", "MiB"
    return f" ({number} {unit} more wanted)"
