"""Small pieces of text: numbers with the right noun, values as a message shows them, what a terminal may get."""

import contextlib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

# Whatever is not plain ASCII; joiners between two letters beyond it belong to Persian words, Indian ones and emoji.
_ODD = re.compile("(?<=[^\0-\x7f])[\u200c\u200d](?=[^\0-\x7f])|([^ -~])")
_BLANK = "\u034f\u115f\u1160\u3164\uffa0"  # letters by their category, without a shape


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


def python_escape(character: str) -> str:
    """Return a character as Python source writes it, such as `\\x1b`."""
    return character.encode("unicode_escape").decode()


def printable(text: str, keep: str = "", escape: Callable[[str], str] = python_escape) -> str:
    """Return `text` with all that steers a terminal, turns lines around or hides escaped, but for `keep`."""

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        seen = character.isprintable() and character not in _BLANK
        plain = seen or found[1] is None or character in keep or unicodedata.category(character) == "Zs"
        return character if plain else escape(character)

    return _ODD.sub(shown, text)


def say(text: str) -> None:
    """Print a line on standard error; where nobody can read it the work goes on."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(printable(text, "\n"), file=sys.stderr, flush=True)


def format_value(value: Any) -> str:
    """Return a JSON value in a few characters; a list or an object is only named, it may be nested without end."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return text if len(text) <= 40 else f"{text[:36]}…"
