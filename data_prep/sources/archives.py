"""A tar archive from an untrusted source, indexed and read in place: nothing in it is ever written to the disk.

`TarFile.extractall` is not used: its filters still let chains of long links write outside on releases in use, and
it misses most damage to an archive.
"""

from __future__ import annotations

import gzip
import io
import mmap
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from decathlon.data_prep.sources.image_ref import Picture, keeps, plain, unsafe
from decathlon.errors import DataError

SUFFIXES = (".tar", ".tar.gz", ".tgz")
IN_MEMORY = 1 << 30  # unpacked bytes of gzipped archives; the official one of nine domains has some 660 MB
MOST_MEMBERS = 10_000_000
_MAGIC = b"\x1f\x8b"
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_BLOCK = 1 << 20
_END = 2 * tarfile.BLOCKSIZE  # zeros after the last member
_DAMAGE = (
    tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile,
    ValueError, OverflowError, RecursionError,  # what tarfile raises for bad numbers and chains
)  # fmt: skip


class MemoryBudget:
    """The bytes of memory that all open gzipped archives together may still take."""

    def __init__(self) -> None:
        self.left = IN_MEMORY


@dataclass(frozen=True)
class Archive:
    """The regular files of an archive: where each begins and how long it is, in `path` or in `data`.

    `name` is for messages: the path, followed by the member's name for an archive inside another one.
    """

    name: str
    path: Path
    data: mmap.mmap | None  # the content of a gzipped one, which cannot be read out of order
    members: dict[str, tuple[int, int]]

    def picture(self, member: str) -> Picture:
        """Return the place of a member's bytes."""
        begin, size = self.members[member]
        name = f"{self.name}: {member}"
        if self.data is not None:
            return Picture(name, data=memoryview(self.data)[begin : begin + size])
        return Picture(name, str(self.path), begin, size)


def stem(path: Path) -> str:
    """Return the archive's file name without .tar, .tar.gz and the like, in composed letters."""
    name = path.name
    for suffix in (".gz", ".tgz", ".tar"):
        name = name.removesuffix(suffix)
    return unicodedata.normalize("NFC", name or path.name)


def is_archive(path: Path) -> bool:
    """Say whether the file begins like a tar archive, plain or gzipped; raises DataError if it cannot be read."""
    if not path.is_file():  # opening a pipe would wait forever
        return False
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == _MAGIC
            file.seek(0)
            header = (gzip.open(file) if gzipped else file).read(tarfile.BLOCKSIZE)
        tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except PermissionError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    except (tarfile.HeaderError, OSError, EOFError, zlib.error):
        return False
    return True


def open_archive(path: Path, budget: MemoryBudget | None = None) -> Iterator[Archive]:
    """Yield the archive at `path`, and the archives inside it: the official one holds one per domain.

    Memory for unpacking is taken from `budget`. Raises DataError naming the member for links, devices, absolute and
    `..` names and duplicates, and naming the archive if it is damaged, cut short or too large to unpack in memory.
    """
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == _MAGIC
            file.seek(0)
            if gzipped:
                data = _inflate(file, str(path), budget or MemoryBudget())
                yield from _index(data, str(path), path, data, 0, data.tell())
            else:
                yield from _index(file, str(path), path, None, 0, file.seek(0, io.SEEK_END))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Check the file.") from None


def _index(
    file: IO[bytes] | mmap.mmap, name: str, path: Path, data: mmap.mmap | None, begin: int, end: int
) -> Iterator[Archive]:
    """Yield the archive between two offsets of a file, and the archives inside it."""
    file.seek(begin)
    try:
        members = _members(file, name, end)
    except _DAMAGE as error:
        raise DataError(f"{name} is damaged or cut short ({error}). Copy or download it again.") from None
    # only one level deep: an archive can be crafted to contain itself
    top = name == str(path)
    inner = {member: members.pop(member) for member in list(members) if top and member.endswith(".tar")}
    yield Archive(name, path, data, members)
    for member, (at, size) in inner.items():
        yield from _index(file, f"{name}: {member}", path, data, at, at + size)


def _inflate(file: IO[bytes], name: str, budget: MemoryBudget) -> mmap.mmap:
    """Return the content of a gzip stream, up to `tell`; reading to the end verifies its checksum."""
    found = mmap.mmap(-1, IN_MEMORY)  # pages are allocated when written; it never grows by copying
    try:
        for piece in iter(partial(gzip.open(file).read, _BLOCK), b""):
            budget.left -= len(piece)
            if budget.left < 0:
                raise DataError(
                    f"{name} exceeds the {IN_MEMORY >> 20} MB that all archives together may unpack in memory. "
                    "Decompress it first, with gunzip: a plain tar is read in place."
                )
            found.write(piece)
    except _DAMAGE as error:
        raise DataError(f"{name} is damaged or cut short ({error}). Copy or download it again.") from None
    return found


def _members(file: IO[bytes] | mmap.mmap, name: str, end: int) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    tar: Any = tarfile.open(fileobj=file, mode="r:", tarinfo=checked_headers())  # Any: it has `members`
    with tar:
        while (member := tar.next()) is not None:
            if _is_file(member, found, name, end):
                found[plain(member.name)] = (member.offset_data, member.size)
            tar.members.clear()  # otherwise a million members are kept in memory twice
        rest = tar.offset
    file.seek(rest)
    zeros = 0
    while piece := file.read(min(_BLOCK, end - rest - zeros)):
        if piece.strip(b"\0"):  # tarfile mistakes any damaged header for the end
            raise tarfile.ReadError("a member's header is unreadable")
        zeros += len(piece)
    if zeros < _END:
        raise tarfile.ReadError("the end is missing")
    return found


def _is_file(member: tarfile.TarInfo, found: dict[str, tuple[int, int]], name: str, end: int) -> bool:
    """Say whether a member is a file to keep; raises DataError for anything unsafe."""
    if not keeps(member.name):
        return False
    reason = unsafe(member.name)
    if member.isdir() and (reason is None or member.name == "."):
        return False
    if reason is None and (member.type not in _REGULAR or member.issparse()):
        reason = "is a link, a device or another special file"
    if reason is None and plain(member.name) in found:
        reason = "is a duplicate"
    if reason is None and len(found) >= MOST_MEMBERS:
        reason = f"exceeds the limit of {MOST_MEMBERS:,} files"
    if reason is not None:
        raise DataError(f"{name} is refused: its member {member.name!r} {reason}. Recreate the archive without it.")
    if member.offset_data + member.size > end:
        raise tarfile.ReadError(f"{member.name!r} has fewer bytes than it should")
    return True


_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
LONGEST = 1 << 20  # bytes of an extended header, which tarfile reads whole; a name needs some hundred
MOST = 8  # extended headers before one member; tarfile recurses for each


def checked_headers() -> type[tarfile.TarInfo]:
    """Return a TarInfo class for one archive; it raises ReadError for sizes and chains no honest archive has."""

    class Checked(tarfile.TarInfo):
        chain = shared = 0

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Checked:
            """Return the header in a block."""
            header = super().frombuf(buf, encoding, errors)
            if header.size < 0:
                raise tarfile.ReadError(f"{header.name!r} has a negative size")
            Checked.chain = Checked.chain + 1 if header.type in _EXTENDED else 0
            if header.type == tarfile.XGLTYPE:
                Checked.shared += header.size  # these are kept for all members
            if Checked.chain > MOST or (Checked.chain and max(header.size, Checked.shared) > LONGEST):
                raise tarfile.ReadError(f"the headers before {header.name!r} are too long")
            return header

    return Checked
