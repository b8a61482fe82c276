"""Durable writing and strict reading of small files.

A file appears under its name only when it is complete: written beside the target, flushed to disk,
then renamed over it. A crash at any moment leaves the old file or the new one, never half of either.
"""

import contextlib
import errno
import glob
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from decathlon.errors import DataError, ResourceError, UsageError
from decathlon.system.locks import refuse_lost
from decathlon.system.resources import unwritable
from decathlon.system.strict_json import LARGEST, dump_json, parse_json, too_long
from decathlon.system.text import printable, sentence


@contextlib.contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block ends without an error.

    The block writes and closes the file, and does nothing else. On an error the temporary is removed and `path` is
    untouched. A link stays a link: the file it leads to is replaced. A replaced file keeps its permissions.
    Temporary files of processes that died are removed. With `keep`, a path in the same folder, the old file moves
    there. Raises UsageError where `path` is not a file, ResourceError for an error of the system, BusyError where a
    lock that covers it was lost.
    """
    refuse_lost(path)
    named, path = path, _resolved(path)
    try:
        with _replacing(path, keep) as part:
            yield part
    except ResourceError as error:  # raised inside the block, about `part`: the user knows the other name
        raise ResourceError(str(error).replace(printable(str(part)), str(named))) from None
    except OSError as error:
        if error.errno is None:  # not from the system
            raise
        raise unwritable(named, error) from None


def _resolved(path: Path) -> Path:
    """Return where a path leads; raises ResourceError for links that lead to one another."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # which of them depends on the version of Python
        raise unwritable(path, OSError(errno.ELOOP, os.strerror(errno.ELOOP))) from None


@contextlib.contextmanager
def _replacing(path: Path, keep: Path | None) -> Iterator[Path]:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file and is not replaced. Choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_suffix())
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes 0600; users expect their umask, or the mode they set
        part.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        sync(part)
        if keep is not None and path.exists():
            os.replace(path, keep)
            sync(path.parent)  # on the disk first: a power cut must not keep the next renaming alone
        os.replace(part, path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def aside(part: Path) -> Iterator[Path]:
    """Yield a new folder beside a temporary file of `replacing`, for a library that makes temporary files too.

    What a kill leaves of it is removed with the temporary file.
    """
    prefix = part.name.removesuffix(_suffix()) + "."
    with tempfile.TemporaryDirectory(dir=part.parent, prefix=prefix, suffix=_suffix()) as folder:
        try:
            yield Path(folder)
        except ResourceError as error:
            raise ResourceError(re.sub(rf"{re.escape(printable(folder))}\S*", str(part), str(error))) from None


def _suffix() -> str:
    return f".{os.getpid()}@{socket.gethostname()}.part"


def _sweep(path: Path) -> None:
    """Remove temporary files of `path` left by processes of this machine that were killed."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*@{glob.escape(socket.gethostname())}.part"):
        process = part.name.removesuffix(f"@{socket.gethostname()}.part").rpartition(".")[2]
        if process.isdecimal() and int(process) != os.getpid() and not _alive(int(process)):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:  # a permission is missing for another user's
        return not isinstance(error, ProcessLookupError)
    return True


@contextlib.contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill; it is renamed to `folder` when the block ends without an error, else removed.

    Leftovers of processes that died are removed. Raises UsageError where `folder` exists, ResourceError where it
    cannot be written.
    """
    refuse_existing(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        prefix = f".{folder.name}."
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix, suffix=_suffix()) as part:
            root = Path(part) / "whole"  # a folder of its own: the temporary one is closed to other users
            root.mkdir()
            yield root
            os.sync()  # all at once: a million images one by one would take an hour
            os.replace(root, folder)
            sync(folder.parent)
    except OSError as error:
        raise unwritable(folder, error) from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` durably to `path`, replacing what was there."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write `value` durably as JSON; byte-stable, refuses NaN and infinity."""
    write_bytes(path, dump_json(value).encode())


def read_json(path: Path, keep: Container[str] | None = None) -> Any:
    """Parse the JSON file `path` as `parse_json` does; raises DataError naming the file and what is wrong in it."""
    return parse_json(read_bytes(path, most=LARGEST), str(path), keep)


def read_bytes(path: Path, what: str = "", most: int | None = None) -> bytes:
    """Return the content of a file of up to `most` bytes.

    Raises DataError, with `what` before the path, where it cannot be read.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DataError(f"cannot read {what}{path}: it is not a regular file.")
        if most is not None and path.is_file() and path.stat().st_size > most:
            raise too_long(f"{what}{path}", path.stat().st_size, most)
        return path.read_bytes()
    except OSError as error:
        fix = "Check its permissions" if isinstance(error, PermissionError) else "Check the path"
        raise DataError(f"cannot read {what}{path}: {error.strerror or error}. {fix}.") from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_existing(path: Path, fix: str = "choose another name or remove it first") -> None:
    """Raise UsageError when `path` exists: outputs are never overwritten by accident."""
    if path.exists():
        raise UsageError(f"{path} already exists. {sentence(fix)}")


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
