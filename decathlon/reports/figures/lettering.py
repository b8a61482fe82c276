"""Lettering of pictures: a font that has the letters of a name, and lines of a given width."""

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from decathlon.data.domains import Category
from decathlon.system.text import printable

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
REGULAR, BOLD = FONTS / "DejaVuSans.ttf", FONTS / "DejaVuSans-Bold.ttf"  # the same on every machine
LONGEST = 200  # characters kept of a name
ELLIPSIS = "…"


def readable(category: Category) -> str:
    """Return a category's name on one line, or `class 12` when it is empty or no font has its letters."""
    name = shortened(printable(" ".join(category.name.split())), LONGEST)
    return name if name and font_of(name) else f"class {category.id % 10**7}"


def font_of(text: str) -> Path | None:
    """Return the first font file with every letter of `text`; None when this machine has no such font."""
    needed = {ord(character) for character in text if not character.isspace()}
    if needed <= _letters(REGULAR):
        return REGULAR
    return next((font for font in _system_fonts() if needed <= _letters(font)), None)


def lettered(text: str) -> tuple[str, Path]:
    """Return a text, which may have lines, and a font for it; letters that no font has are escaped as in Python."""
    text = printable(text, "\n")
    font = font_of(text)
    return (text, font) if font else (text.encode("ascii", "backslashreplace").decode(), REGULAR)


def letter(text: Text) -> None:
    """Give a text in a figure a font with its letters, or escape them."""
    words, font = lettered(text.get_text())
    text.set_text(words)
    if font != REGULAR:
        text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))


def letter_notes(names: Iterable[str]) -> list[str]:
    """Return a note when some names are escaped in pictures."""
    shown = dict.fromkeys(map(printable, names))
    escaped = [f"{name} as {lettered(name)[0]}" for name in shown if font_of(name) is None]
    return [f"No font on this machine has all letters: pictures show {', '.join(escaped)}."] if escaped else []


def shortened(text: str, length: int) -> str:
    """Cut `text` to `length` characters in the middle: names of one domain often differ only at the end."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return text[: length - 1 - tail] + ELLIPSIS + text[len(text) - tail :]


def wrapped(text: str, width: float, measure: Callable[[str], float], most: int = 2) -> list[str]:
    """Break `text` into at most `most` lines as wide as `width`; excess text is cut out of the middle."""
    length = len(text)
    while len(lines := _broken(shortened(text, length), width, measure)) > most:
        length -= 1
    return lines


def _broken(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break at spaces and after `_ - / , …`, and inside a piece that is still too long."""
    lines = [""]
    for piece in re.findall(rf".+?(?:[\s_/,{ELLIPSIS}-]+|$)", text):
        if measure((lines[-1] + piece).rstrip()) > width and lines[-1]:
            lines.append("")
        while measure(piece.rstrip()) > width and len(piece.rstrip()) > 1:
            fits = next(n for n in range(len(piece) - 1, 0, -1) if n == 1 or measure(piece[:n]) <= width)
            lines[-1:] = [piece[:fits], ""]
            piece = piece[fits:]
        lines[-1] += piece
    return [line.strip() for line in lines]


@cache
def _letters(font: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(font)).get_charmap())
    except (OSError, RuntimeError):  # a font file that this library cannot read
        return frozenset()


@cache
def _system_fonts() -> tuple[Path, ...]:
    return tuple(sorted(map(Path, font_manager.findSystemFonts())))
