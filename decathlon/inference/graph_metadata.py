"""The description in a .pt2 or .onnx file, read without running or unpickling anything in it."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from decathlon.errors import DataError, UsageError
from decathlon.system.strict_json import parse_json

KEY = "decathlon"  # of the description in either format
LARGEST = 1 << 20  # bytes of a description: 1 MiB; one with a thousand categories takes some 60 kB
ONNX_LARGEST = 1 << 31  # bytes


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the description in a file of either format; raises DataError for damage and for a foreign file."""
    text = _from_onnx(path) if path.suffix == ".onnx" else _from_zip(path, f"{KEY}.json")
    if len(text) > LARGEST:
        raise DataError(f"{path} was not written by this toolkit: its description exceeds 1 MiB.")
    about = parse_json(text, f"the description in {path}")
    if not isinstance(about, dict):
        raise DataError(f"the description in {path} is not a JSON object. Merge it again.")
    return about


def need_onnx() -> None:
    """Raise UsageError unless the packages for ONNX files are installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"ONNX files need {' and '.join(missing)}. Run pip install 'visual-decathlon[onnx]'")


def _from_onnx(path: Path) -> bytes:
    need_onnx()
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size >= ONNX_LARGEST:
        raise DataError(f"{path} is not an ONNX file: the format has a limit of 2 GiB.")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(f"{path} is damaged or not an ONNX file ({error}). Merge it again.") from None
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if len(found) != 1:
        raise _undescribed(path)
    text = found[0]
    return text if isinstance(text, bytes) else str(text).encode()  # protobuf leaves bytes that are not UTF-8


def _from_zip(path: Path, name: str) -> bytes:
    """Return the extra file of that name in a torch-export file once the checksums of all members are right.

    The file is an uncompressed zip with a checksum per member. It is read without torch, which would unpickle what
    is in it. Memory is bounded whatever sizes the file declares.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_foreign(path, members)
            if wrong := archive.testzip():
                raise DataError(f"{path} is damaged: {wrong} does not match its checksum. Merge it again.")
            found = [member for member in members if member.filename.partition("/")[2] == f"extra/{name}"]
            if len(found) != 1:
                raise _undescribed(path)
            with archive.open(found[0]) as member:
                return member.read(LARGEST + 1)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is damaged or not a torch-export file ({error}). Merge it again.") from None


def _refuse_foreign(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataError for members that are compressed, encrypted, duplicated or together larger than the file."""
    names = {member.filename for member in members}
    packed = any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members)
    declared = sum(max(member.file_size, member.compress_size) for member in members)
    if packed or len(names) < len(members) or declared > path.stat().st_size:
        raise DataError(f"{path} was not written by torch: its members are compressed or overlap. Merge it again.")


def _undescribed(path: Path) -> DataError:
    return DataError(f"{path} has no description. Write one with decathlon merge.")
