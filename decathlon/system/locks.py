"""Locks: one process at a time works on a run directory, a packed file or a download; a dead one's lock is free."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from decathlon.errors import BusyError
from decathlon.system.resources import writing


@contextlib.contextmanager
def locked(path: Path, what: Path, doing: str, inner: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, in which the holder's process and machine stand; it is gone after the block.

    With `inner` a block inside another one of the same process changes nothing. Raises BusyError, which names the
    holder as in "`what` is being trained by process 12", and ResourceError where nothing can be written.
    """
    lock = filelock.FileLock(path, timeout=0, is_singleton=inner)
    with writing(what):
        try:
            lock.acquire()
        except filelock.Timeout:
            raise BusyError(
                f"{what} {doing} by {_holder(path)}: wait for its end or stop it, then try again."
            ) from None
    try:
        with contextlib.suppress(OSError):  # a full disk: it holds without a name, too
            path.write_text(f"{os.getpid()} {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        if lock.lock_counter == 1:  # the outermost block; who waits at a file that is gone looks again
            path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    """Return who holds a lock, as `process 12 on host`; a full disk may have kept that from being written."""
    with contextlib.suppress(OSError, ValueError):
        process, host = path.read_text(encoding="utf-8").split()
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"process {int(process)}{where}"
    return "another process"
