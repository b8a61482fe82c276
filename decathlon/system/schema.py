"""The shape that a JSON value must have, written as plain Python, and the first place where it differs.

int float str bool dict    of that type; whole numbers fit 64 bits, numbers are finite, true is not a number
Literal["a", None]         one of these values
(int, None)                one of these shapes
[shape]                    a list of it
{str: shape}               an object of it under any keys
{"a": shape, "b?": shape}  an object with the key a and perhaps b; other keys are ignored
within(int, 0, 9)          a number in a range
digest                     the text of a SHA-256
name                       text that is safe as the name of a file
path                       text that may be a path
"""

import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Literal, get_args, get_origin

from decathlon.errors import DataError
from decathlon.system.text import format_value, sentence

KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object"}
MOST = 2**63 - 1


def check(value: Any, shape: Any, source: str, fix: str) -> None:
    """Raise DataError, naming `source` and the place in it and ending in `fix`, where a value lacks the shape."""
    fault = find_fault(value, shape)
    if fault:
        raise DataError(f"{source} is damaged: {fault}. {sentence(fix)}")


def find_fault(value: Any, shape: Any, place: str = "") -> str | None:
    """Return where a value lacks the shape and what is there, as `seeds[2] is 'x', not a whole number`.

    `place` is that of the value itself, as `seeds`, where it is part of something.
    """
    fault = _fault(value, shape)
    return fault and f"{f'{place}{fault[0]}'.removeprefix('.') or 'the whole'} {fault[1]}"


def within(kind: type, least: float, most: float) -> Callable[[Any], str | None]:
    """Return the shape of a number in a range."""

    def wanted(value: Any) -> str | None:
        return None if _fits(value, kind) and least <= value <= most else f"{KINDS[kind]} {least:g} to {most:g}"

    return wanted


def name(value: Any) -> str | None:
    """The shape of text that may be one part of a path: it cannot lead anywhere else."""
    safe = isinstance(value, str) and value not in ("", ".", "..") and len(value.encode()) <= 200
    return None if safe and not set(value) & set("/\\\0") else "a plain name"


def digest(value: Any) -> str | None:
    """The shape of a SHA-256 as text."""
    plain = isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
    return None if plain else "a SHA-256"


def path(value: Any) -> str | None:
    """The shape of text that may be a path."""
    return None if isinstance(value, str) and value and "\0" not in value else "a path"


def _fault(value: Any, shape: Any) -> tuple[str, str] | None:
    """Return the place of a fault and what is wrong there; most values have none, so places are not kept."""
    if isinstance(shape, dict) and isinstance(value, dict):
        return _key_fault(value, shape)
    if isinstance(shape, list) and isinstance(value, list):
        for i, entry in enumerate(value):
            if fault := _fault(entry, shape[0]):
                return f"[{i}]{fault[0]}", fault[1]
        return None
    return None if _fits(value, shape) else ("", f"is {format_value(value)}, not {_describe(shape)}")


def _key_fault(value: Mapping[str, Any], shape: Mapping[Any, Any]) -> tuple[str, str] | None:
    if str in shape:
        for key, entry in value.items():
            if fault := _fault(entry, shape[str]):
                return f"[{format_value(key)}]{fault[0]}", fault[1]
        return None
    for key, inner in shape.items():
        plain = key.removesuffix("?")
        if plain in value:
            if fault := _fault(value[plain], inner):
                return f".{plain}{fault[0]}", fault[1]
        elif plain == key:
            return f".{plain}", "is missing"
    return None


def _fits(value: Any, shape: Any) -> bool:
    if shape is int:  # first, with text: an annotation file asks this a million times
        return type(value) is int and -MOST <= value <= MOST
    if shape is str:
        return isinstance(value, str)
    if isinstance(shape, FunctionType):
        return shape(value) is None
    if isinstance(shape, tuple):
        return any(not _fault(value, one) for one in shape)
    if get_origin(shape) is Literal:
        return any(value == known and type(value) is type(known) for known in get_args(shape))
    if shape is float:
        return type(value) is float and math.isfinite(value) or _fits(value, int)
    return value is None if shape is None else isinstance(shape, type) and isinstance(value, shape)


def _describe(shape: Any) -> str:
    if isinstance(shape, tuple):
        return " or ".join(map(_describe, shape))
    if get_origin(shape) is Literal:
        return " or ".join(map(format_value, get_args(shape)))
    if isinstance(shape, FunctionType):
        return str(shape(None))
    if isinstance(shape, list | dict):
        return "a list" if isinstance(shape, list) else "an object"
    return KINDS.get(shape, "null")
