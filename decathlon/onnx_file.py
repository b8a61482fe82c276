"""The metadata of an ONNX file, found without parsing its graph: parsed, a graph may take 70 times its bytes.

Such a file is a protocol buffer: fields one after the other, each with its number, its kind and mostly its length
(https://protobuf.dev/programming-guides/encoding). In `ModelProto` field 14 is an entry of the metadata.
"""

from __future__ import annotations

from pathlib import Path

from decathlon.errors import DataError
from decathlon.program_file import refuse_long

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
