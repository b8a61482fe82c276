"""Entries of a parsed JSON annotation file, checked one by one: one of the wrong kind is an error with its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from decathlon.data_prep.names import unsafe
from decathlon.errors import DataError


def entry_of(value: Any, origin: str) -> Mapping[str, Any]:
    """Return a JSON object; raises DataError for anything else."""
    if not isinstance(value, dict):
        raise DataError(f"{origin}: it holds no object where one must stand: write it in the COCO format.")
    return value


def entries(data: Mapping[str, Any], key: str, origin: str) -> list[Any]:
    """Return the list under `key`; raises DataError when there is none."""
    value = data.get(key)
    if not isinstance(value, list):
        raise DataError(f"{origin}: '{key}' is missing or not a list: write it in the COCO format.")
    return value


def integer(entry: Any, key: str, origin: str) -> int:
    """Return the whole number from 0 under `key`; raises DataError when it is none."""
    value = entry_of(entry, origin).get(key)
    if type(value) is not int or not 0 <= value < 2**63:  # bool is an int to isinstance
        raise DataError(f"{origin}: '{key}' is {_shown(value)}, not a whole number: ids are integers from 0.")
    return value


def string(entry: Any, key: str, origin: str) -> str:
    """Return the text under `key`; raises DataError when it is none."""
    value = entry_of(entry, origin).get(key)
    if not isinstance(value, str):
        raise DataError(f"{origin}: '{key}' is {_shown(value)}, not a text: write it in quotes.")
    return value


def file_name(entry: Any, origin: str) -> str:
    """Return an image's `file_name`; raises DataError when it is none that stays in its folder."""
    name = string(entry, "file_name", origin)
    if reason := unsafe(name):
        raise DataError(f"{origin}: file name {name!r:.200} {reason}: write it relative to the source.")
    return name


def refuse_twice(ids: list[int], what: str) -> None:
    """Raise DataError when an id stands twice; `what` begins its sentence."""
    if len(set(ids)) != len(ids):
        twice = next(value for value, count in Counter(ids).items() if count > 1)
        raise DataError(f"{what} {twice} stands there twice: give every entry an id of its own.")


def _shown(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | float | int | None) else f"a {type(value).__name__}"
