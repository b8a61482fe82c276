"""JSON objects that carry their own SHA-256 as their last entry, so that a flipped bit is detected.

Files made by hand have none; they are read as strictly.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decathlon.errors import DataError, VerificationError
from decathlon.system.files import read_bytes, write_json
from decathlon.system.strict_json import LARGEST, dump_json, parse_json
from decathlon.system.text import sentence

SEAL = "sha256"
_TAIL = 200  # bytes; the last entry is shorter
RESTORE = "Restore a copy or train again"  # the fix for a damaged file of a run


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object durably, with its seal."""
    write_json(path, seal(value))


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the SHA-256 of its JSON as its last entry."""
    return {**value, SEAL: hashlib.sha256(dump_json(value).encode()).hexdigest()}


def read_sealed(path: Path, fix: str) -> Any:
    """Parse a JSON file strictly and return its content without the seal.

    Raises DataError for invalid JSON, VerificationError, ending in `fix`, where the seal does not match.
    """
    text = read_bytes(path, most=LARGEST)
    data = parse_json(text, str(path))
    rest = unsealed(data, str(path), fix)
    if rest is not data and text != dump_json(data).encode():  # equal JSON in another spelling
        raise _damaged(str(path), fix)
    return rest


def unsealed(data: Any, source: str, fix: str) -> Any:
    """Return a parsed object without its seal, or the object itself if it has no seal.

    Raises VerificationError, naming `source` and ending in `fix`, where the seal does not match the content.
    """
    if not isinstance(data, dict) or not data:
        return data
    *_, last = data
    rest = {key: value for key, value in data.items() if key != last}
    try:
        # released annotations are long and end in a list: they are not hashed
        whole = isinstance(data[last], str) and data[last] == seal(rest)[SEAL]
    except RecursionError:
        raise DataError(f"{source} is nested too deeply. {sentence(fix)}") from None
    if SEAL not in data and not whole:  # never sealed
        return data
    if last != SEAL or not whole:
        raise _damaged(source, fix)
    return rest


def _damaged(source: str, fix: str) -> VerificationError:
    return VerificationError(f"{source} is damaged: its content does not match its SHA-256. {sentence(fix)}")


def is_sealed(text: bytes) -> bool:
    """Return whether JSON that was already read without an error carries a seal."""
    return re.search(rf'"{SEAL}": ?"[0-9a-f]{{64}}"\s*}}\s*$'.encode(), text[-_TAIL:]) is not None


def check_seal(text: bytes, has_seal: bool, source: str, fix: str) -> None:
    """Compare the seal of a JSON object too long to be parsed as a whole; `has_seal` says that it has that key.

    Raises VerificationError, naming `source` and ending in `fix`, where the seal does not match the content.
    """
    end = re.compile(rb',\n "([^"\n]+)": "([0-9a-f]{64})"\n}\n$').search(text, max(0, len(text) - _TAIL))
    whole = False
    if end:  # released annotations end otherwise and are not hashed
        found = hashlib.sha256(memoryview(text)[: end.start()])
        found.update(b"\n}\n")
        whole = found.hexdigest() == end[2].decode()
    if (has_seal and not whole) or (end and whole and end[1] != SEAL.encode()):
        raise _damaged(source, fix)


def combine(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 over named SHA-256 digests, in the order of their names."""
    text = "".join(f"{name}:{digests[name]};" for name in sorted(digests))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # damaged names may hold any character
