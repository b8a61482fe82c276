"""Zip archives from outside, read in place and in bounded memory."""

import contextlib
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from decathlon.errors import DataError

_BLOCK = 1 << 16
_ENCRYPTED = 1  # of a member's flags
_END, _ZIP64, _LONGEST_END = b"PK\5\6", b"PK\6\7", 22 + 65535
DIRECTORY = 1 << 20  # bytes of the table of contents, some 10,000 files; Python keeps all of it as objects
DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error,
    RuntimeError,  # what this version of Python does not know (NotImplementedError)
    ValueError, OverflowError,  # names that are not Unicode, places before the beginning
)  # fmt: skip


@contextlib.contextmanager
def opened(file: IO[bytes], source: str) -> Iterator[zipfile.ZipFile]:
    """Yield the archive in a file; whatever is damaged in it, then or in the block, is raised as BadZipFile.

    Raises DataError, which names `source`, for an intact one of a kind that is not read: no copy would help.
    """
    try:
        _check_end(file, source)
        with zipfile.ZipFile(file) as archive:
            yield archive
    except OSError as error:
        if error.errno is not None:  # from the disk, not from bz2
            raise
        raise zipfile.BadZipFile(str(error)) from None
    except DAMAGE as error:
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from None


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, source: str) -> bytes:
    """Return a member's bytes; at once, zipfile would unpack what is there, however much more than `file_size`.

    Of the other methods it unpacks four kilobytes at once, which may become gigabytes. Raises DataError, which
    names `source`, for those and for a member that needs a password.
    """
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"{source} is encrypted. Zip it again without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{source} is compressed by another method than deflate. Zip it again with deflate.")
    with archive.open(member) as file:
        return b"".join(iter(lambda: file.read(_BLOCK), b""))


def _check_end(file: IO[bytes], source: str) -> None:
    """Raise DataError for a table of contents that is longer than an archive of a few files needs."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _LONGEST_END - 20), os.SEEK_SET)
    end = file.read()
    at = end.rfind(_END)
    if at < 0 or len(end) - at < 22:
        raise zipfile.BadZipFile("File is not a zip file")
    (directory,) = struct.unpack_from("<L", end, at + 12)
    if directory > DIRECTORY or end[max(0, at - 20) : at].startswith(_ZIP64):
        raise DataError(f"{source} has too long a table of contents. Zip the few files that are read, alone.")
