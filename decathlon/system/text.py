"""Small pieces of text: numbers with the right noun, values as a message shows them."""

from collections.abc import Iterable
from typing import Any


def several(number: int, noun: str, plural: str = "") -> str:
    """Return a number and what it counts, as `1 epoch` and `3 epochs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def first(names: Iterable[str], number: int = 3, sort: bool = True) -> str:
    """Return the first few names, with dots if there are more."""
    listed = sorted(names) if sort else list(names)
    return ", ".join(listed[:number]) + (", …" if len(listed) > number else "")


def sentence(text: str) -> str:
    """Return text as a sentence: a capital letter first, a full stop last."""
    return f"{text[:1].upper()}{text[1:]}."


def printable(value: str) -> str:
    """Return `value` on one line and without control characters, which could repaint a terminal."""
    return "".join(character if character.isprintable() else " " for character in value)


def format_value(value: Any) -> str:
    """Return a JSON value in a few characters; a list or an object is only named, it may be nested without end."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return text if len(text) <= 40 else f"{text[:36]}…"
