"""JSON objects that carry their own SHA-256 as their last entry, so that a flipped bit in them is found.

Files from before there were seals, and those written by hand, have none and are read as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decathlon.errors import DataError, VerificationError
from decathlon.system.files import read_bytes, write_json
from decathlon.system.strict_json import dump_json, parse_json

SEAL = "sha256"
AGAIN = "put back a copy or train again"  # what is left to do about a damaged file of a run


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object durably, with its seal."""
    write_json(path, seal(value))


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the SHA-256 of its JSON as its last entry."""
    return {**value, SEAL: hashlib.sha256(dump_json(value).encode()).hexdigest()}


def read_sealed(path: Path, remedy: str) -> Any:
    """Parse a JSON file strictly and take the seal off.

    Raises DataError for what is no JSON, VerificationError where the seal is not of what is in the file.
    """
    text = read_bytes(path)
    data = parse_json(text, str(path))
    rest = unsealed(data, str(path), remedy)
    if rest is not data and text != dump_json(data).encode():  # the same said in other words
        raise _damaged(str(path), remedy)
    return rest


def unsealed(data: Any, source: str, remedy: str) -> Any:
    """Return what a parsed object says without its seal, the object itself where it has none.

    Raises VerificationError, naming `source`, where the seal is not of what the object says.
    """
    if not isinstance(data, dict) or not data:
        return data
    *_, last = data
    rest = {key: value for key, value in data.items() if key != last}
    try:
        # of a released annotation file, which is long and ends in a list, no digest is made
        whole = isinstance(data[last], str) and data[last] == seal(rest)[SEAL]
    except RecursionError:
        raise DataError(f"{source} is nested too deeply; {remedy}.") from None
    if SEAL not in data and not whole:  # never sealed
        return data
    if last != SEAL or not whole:
        raise _damaged(source, remedy)
    return rest


def _damaged(source: str, remedy: str) -> VerificationError:
    return VerificationError(f"{source} is damaged: its SHA-256 is not that of what it says; {remedy}.")


def is_sealed(text: bytes) -> bool:
    """Say whether JSON that was already read as sound carries a seal."""
    data = parse_json(text, "it")
    return isinstance(data, dict) and SEAL in data
