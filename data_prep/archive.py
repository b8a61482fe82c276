"""A tar archive, unpacked without trust: regular files only, each inside the destination, nothing twice.

`TarFile.extractall` is not used: its filters still let chains of long links write outside on releases in use, and
most damage to an archive passes it in silence.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from decathlon.data_prep.names import unsafe
from decathlon.errors import DataError

_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_LARGEST_MEMBER = 4 << 30  # the largest honest one is ImageNet's annotations, some hundred MB
_BLOCK = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


class _Stream:
    """Bytes of an archive read once, in order, keeping the last of them: they must be the end blocks."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.last = (self.last + data)[-len(_END) :]
        return data


def stem(path: Path) -> str:
    """Return the archive's file name without .tar, .tar.gz and the like."""
    name = path.name
    for suffix in (".gz", ".tgz", ".tar"):
        name = name.removesuffix(suffix)
    return name or path.name


def is_archive(path: Path) -> bool:
    """Say whether the file starts as a tar archive does, plain or gzipped."""
    with _opened(path) as file:
        try:
            header = file.read(tarfile.BLOCKSIZE)
            tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, OSError, EOFError, zlib.error):
            return False
    return True


def extract(path: Path, destination: Path) -> int:
    """Unpack the archive into the folder `destination`; return the number of files.

    Raises DataError naming the member for links, devices, absolute and `..` names, duplicates and files too large
    for the disk, and naming the archive when it is damaged or cut short.
    """
    seen: set[str] = set()
    try:
        with _opened(path) as file, _members(stream := _Stream(file)) as tar:
            while (member := tar.next()) is not None:
                _take(tar, member, destination, seen, path)
                tar.members.clear()  # else a million members stay in memory
            _drain(tar, stream)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short ({error}): copy or download it again.") from None
    return len(seen)


def _members(stream: _Stream) -> Any:  # the library declares no `members` to clear
    return tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK)  # type: ignore[call-overload]


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path, seen: set[str], path: Path) -> None:
    reason = unsafe(member.name)
    if member.isdir() and (reason is None or member.name == "."):
        return
    if reason is None and (member.type not in _REGULAR or member.issparse()):
        reason = "is a link, a device or another special file"
    plain = unicodedata.normalize("NFC", str(PurePosixPath(member.name)))
    if reason is None and plain in seen:
        reason = "stands in it twice"
    if reason is None and member.size > min(_LARGEST_MEMBER, shutil.disk_usage(destination).free):
        reason = f"has {member.size:,} bytes, more than is allowed or than the disk has free"
    if reason is not None:
        raise DataError(
            f"{path} is refused: its member {member.name!r} {reason}; make the archive anew without it."
        )
    seen.add(plain)
    _write(tar, member, destination / PurePosixPath(member.name), path)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            shutil.copyfileobj(content, out, _BLOCK)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise DataError(
            f"{path} is refused: its member {member.name!r} collides with another; make the archive anew."
        ) from None
    if target.stat().st_size != member.size:
        raise tarfile.ReadError(f"{member.name!r} has fewer bytes than it should")


def _drain(tar: tarfile.TarFile, stream: _Stream) -> None:
    """Read to the end, which checks gzip's checksum; tarfile itself takes any damaged header for the end."""
    rest = tar.fileobj
    assert rest is not None
    while data := rest.read(_BLOCK):
        if data.strip(b"\0"):
            raise tarfile.ReadError("a member's header is unreadable")
    if stream.last != _END:
        raise tarfile.ReadError("the end is missing")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the file.") from None
    with file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # A GzipFile reads as any binary file does, but its type does not say so.
        yield cast(IO[bytes], gzip.open(file)) if packed else file
