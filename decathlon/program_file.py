"""What a torch-export file (.pt2) says of itself, read without torch: loading it there runs what is pickled in it.

It is a zip in which nothing is compressed, with a checksum for every member.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from decathlon.errors import DataError

LARGEST = 1 << 20  # bytes of a description; of a thousand categories it takes some 60 kB


def read_extra(path: Path, name: str) -> bytes:
    """Return the extra file of that name in a torch-export file, after a look at the checksums of all members.

    Memory is bounded whatever the file declares, and nothing in it is unpickled. Raises DataError for another file,
    for a member that torch would not have written, and for damage.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_foreign(path, members)
            if wrong := archive.testzip():
                raise DataError(f"{path} is damaged: the checksum of {wrong} is not that of what it holds.")
            found = [member for member in members if member.filename.partition("/")[2] == f"extra/{name}"]
            if len(found) != 1:
                raise DataError(f"{path} holds no description: merge it again.")
            refuse_long(path, found[0].file_size)
            return archive.read(found[0])
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        what = "it is no torch-export file or damaged"
        raise DataError(f"{path} holds no description, {what} ({error}): merge it again.") from None


def refuse_long(path: Path, size: int) -> None:
    """Raise DataError where the description in a file has more bytes than any that the project writes."""
    if size > LARGEST:
        raise DataError(f"{path} is no file of this toolkit: its description has {size:,} bytes.")


def _refuse_foreign(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataError for members that are compressed, encrypted, twice there or larger together than the file."""
    names = {member.filename for member in members}
    packed = any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members)
    declared = sum(max(member.file_size, member.compress_size) for member in members)
    if packed or len(names) < len(members) or declared > path.stat().st_size:
        what = "its members are compressed or overlap"
        raise DataError(f"{path} is no file that torch wrote, {what}: merge it again.")
