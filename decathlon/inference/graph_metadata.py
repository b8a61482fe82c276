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


METADATA = 14
MOST = 100  # entries; two are ours
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # kinds of field


def read_metadata(path: Path, data: bytes) -> dict[str, str]:
    """Return the metadata in the bytes of an ONNX file; raises DataError for damage and a key that is there twice.

    The time is linear in the number of fields, the memory bounded.
    """
    import onnx

    found: dict[str, str] = {}
    place = 0
    while place < len(data):
        tag, place = _varint(path, data, place)
        number, kind = tag >> 3, tag & 7
        size, begin = _varint(path, data, place) if kind in (VARINT, LENGTH) else (0, place)
        place = begin + {VARINT: 0, FIXED64: 8, LENGTH: size, FIXED32: 4}.get(kind, len(data) + 1)
        if number == 0 or place > len(data):
            raise _damaged(path)
        if (number, kind) != (METADATA, LENGTH):
            continue
        refuse_long(path, size)
        entry = onnx.StringStringEntryProto.FromString(data[begin:place])
        if entry.key in found or len(found) == MOST:
            raise DataError(
                f"{path} is damaged: an entry of its metadata stands twice, or there are too many; merge it again."
            )
        found[entry.key] = entry.value
    return found


def _varint(path: Path, data: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte, and the place behind it."""
    for length in range(1, 11):
        if place + length > len(data):
            break
        if data[place + length - 1] < 128:
            return sum((byte & 127) << 7 * i for i, byte in enumerate(data[place : place + length])), place + length
    raise _damaged(path)


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} holds no description, it is no ONNX file or damaged: merge it again.")
