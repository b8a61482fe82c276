"""Class names as people write them: one form for what is certainly the same, and a word on what may be."""

import functools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from decathlon.system.text import several

_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")  # zero-width space, word joiner, byte order mark
_SPACE = re.compile(r"[^\S\x00-\x7f]")  # no-break and other wide or narrow spaces
_ENDS = " \t\r\n\u200c\u200d\u200e\u200f"  # joiners and marks of direction mean something inside a word
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?")
_BETWEEN = re.compile(r"(?<!\d)[\s_-]+|[\s_-]+(?!\d)")  # not in `1-2`, which is not `12`
_UNSEEN = re.compile("[\u00ad\u200c-\u200f\ufe00-\ufe0f]")  # soft hyphens, joiners, forms of an emoji
_NO_LABEL = frozenset({"nan", "null", "none", "na", "n/a", "<na>", "#n/a"})  # what programs write for a lost value


@functools.lru_cache(maxsize=4096)  # called for a million images
def class_name(text: str) -> str:
    """Return a class name in composed letters with plain spaces, without invisible characters and spaces around."""
    if not text.isascii():
        text = _SPACE.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return text.strip(_ENDS)


def doubts(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield warnings about classes that may be one class, or no class; `counts` are their images."""
    if sets := [" = ".join(names) for names in _alike(counts)]:
        listed = ", ".join(sets[:3]) + (", …" if len(sets) > 3 else "")
        yield (
            f"Warning: classes that differ only in case, spacing or the form of a number, "
            f"{several(len(sets), 'time')}: {listed}; give one name to what is one class."
        )
    for name in counts:
        if name.casefold() in _NO_LABEL:
            yield f"Warning: class {name} ({several(counts[name], 'image')}) may stand for a missing label."


def _alike(names: Iterable[str]) -> list[list[str]]:
    sets: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        sets[_key(name)].append(name)
    return [found for found in sets.values() if len(found) > 1]


def _key(name: str) -> str:
    """Return what is left of a name without case, spaces, hyphens, underscores and the form of a number."""
    text = _UNSEEN.sub("", unicodedata.normalize("NFKC", name)).casefold().strip()
    return str(Fraction(text)) if _NUMBER.fullmatch(text) else _BETWEEN.sub("", text) or text
