"""What the machine refuses: memory, disk space, a permission. Each becomes an error that says how to fix it."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from decathlon.errors import ResourceError
from decathlon.system.text import sentence

_SPACE = "free some space or choose another place"
_RIGHTS = "choose another place, or get the right to write there"
_FILE = "choose another place: a file is where a folder should be"
_FIXES = {
    errno.ENOSPC: _SPACE, errno.EDQUOT: _SPACE, errno.EFBIG: _SPACE,
    errno.EACCES: _RIGHTS, errno.EPERM: _RIGHTS, errno.EROFS: _RIGHTS,
    errno.ENOTDIR: _FILE, errno.EEXIST: _FILE,
    errno.ENAMETOOLONG: "choose a shorter name", errno.ELOOP: "remove the link that is there",
    errno.EISDIR: "remove the folder that is there, or choose another place",
}  # fmt: skip
# How torch, HDF5 and the system word it; torch has an exception class for GPUs only.
_LACK = re.compile(r"out of memory|an(no|')t allocate memory|emory allocation failed|ALLOC_FAILED", re.IGNORECASE)
_GPU = re.compile(r"CUDA|CUBLAS|CUDNN")
_WANTED = re.compile(r"(?:tried to|unable to) allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)


def unwritable(path: Path, error: OSError | str) -> ResourceError:
    """Return the error for a file or folder that cannot be written."""
    reason, fix = error, _SPACE
    if isinstance(error, OSError):
        reason = error.strerror or error
        fix = _FIXES.get(error.errno or 0, "check the disk, or choose another place")
    return ResourceError(f"cannot write {path} ({reason}). {sentence(fix)}")


def refuse_unwritable(path: Path) -> None:
    """Raise ResourceError where `path` lies in a folder that nothing can be written to."""
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ResourceError for an OSError in the block, which does nothing but write `path`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


@contextlib.contextmanager
def memory_for(work: str, fix: str) -> Iterator[None]:
    """Raise ResourceError where the block runs out of memory; `work` is as `with --batch 8`, `fix` what to do."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not lacks_memory(error):
            raise
        raise out_of_memory(error, work, fix) from None


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error of any class means that host or GPU memory ran out."""
    worded = isinstance(error, RuntimeError | OSError) and _LACK.search(str(error)) is not None
    return worded or isinstance(error, MemoryError)


def out_of_memory(error: BaseException, work: str = "", fix: str = "end other programs first") -> ResourceError:
    """Return the error for a lack of memory, with the amount that was wanted if it is known."""
    kind = "GPU memory" if _GPU.search(str(error)) else "memory"
    return ResourceError(f"out of {' '.join(filter(None, (kind, work)))}{_wanted(str(error))}. {sentence(fix)}")


def _wanted(text: str) -> str:
    found = _WANTED.search(text)
    if found is None:
        return ""
    number, unit = found.groups()
    if unit == "bytes":
        number, unit = f"{int(float(number)) / 2**20:,.1f}", "MiB"
    return f" ({number} {unit} more wanted)"
