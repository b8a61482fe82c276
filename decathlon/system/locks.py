"""Locks: one process at a time works on a run directory, a packed file or a download; a dead process holds none."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from decathlon.errors import BusyError
from decathlon.system.resources import writing

NOWHERE = (-1, -1)
# By lock: what it is for, and the inodes of the lock and of its folder.
_held: dict[Path, tuple[Path, frozenset[Path], tuple[int, int], tuple[int, int]]] = {}


@contextlib.contextmanager
def locked(path: Path, what: Path, doing: str, inner: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which names the holder's process and machine; it is removed after the block.

    With `inner`, a block inside another one of the same process does nothing. Raises BusyError, which names the
    holder as in "`what` is being trained by process 12", and ResourceError where the file cannot be written.
    """
    import filelock  # most commands lock nothing

    lock = filelock.FileLock(path, timeout=0, is_singleton=inner)
    with writing(what):
        try:
            lock.acquire()
        except filelock.Timeout:
            fix = "Wait until it ends or stop it, then try again."
            raise BusyError(f"{what} {doing} by {_holder(path)}. {fix}") from None
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name, too
            path.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        covered = frozenset({Path(os.path.abspath(what)), what.resolve()})
        _held[path] = what, covered, _inode(path), _inode(path.parent)
        yield
    finally:
        if lock.lock_counter == 1:  # the outermost block; a waiting process that finds the file gone opens it again
            if _inode(path) == _held.pop(path, (what, frozenset(), NOWHERE, NOWHERE))[2]:
                path.unlink(missing_ok=True)
        lock.release()


def refuse_lost(path: Path) -> None:
    """Raise BusyError where `path` is under a lock of this process whose file is no longer at its place.

    A folder that is renamed takes its lock along, and another process may have begun a new one under the old name.
    A lock that alone was removed is not taken again: another process may have worked here since, and ended.
    """
    places = {Path(os.path.abspath(path)), *Path(os.path.abspath(path)).parents}
    for lock, (what, covered, inode, folder) in _held.items():
        if not places & covered or _inode(lock) == inode:
            continue
        lost, fix = f"{what} was renamed or removed", "Continue under the new name, or begin again"
        if _inode(lock.parent) == folder:
            lost, fix = f"{lock} was removed, the lock of {what},", "Begin again; a run is continued with --resume"
        raise BusyError(f"{lost} while this process worked on it; nothing more is written to it. {fix}.")


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return NOWHERE
    return found.st_dev, found.st_ino


def _holder(path: Path) -> str:
    """Return who holds a lock, as `process 12 on host`; a full disk may have kept that from being written."""
    with contextlib.suppress(OSError, ValueError):
        process, host = path.read_text(encoding="utf-8").split()
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"process {int(process)}{where}"
    return "another process"
