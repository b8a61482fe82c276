"""Long JSON, entry by entry: what the lists in a file hold is seen one at a time and never kept.

Python's parser can be made to build objects of thirty times the bytes of a text; read in a stream, a file costs its
own bytes and what its reader keeps.
"""

import codecs
import json
import re
from collections.abc import Container, Iterator
from json import JSONDecodeError
from typing import Any

from decathlon.system.strict_json import strict_decoder, translated

LONGEST = 4 << 20  # characters of one entry; outlines of objects may take some thousand
_BLOCK = 1 << 20
_TOGETHER = 1 << 16  # characters of short entries that are parsed in one go
_REST = 2  # characters after a number at the end of a block that may belong to it, as in 1e-
_SPACE = re.compile(r"[ \t\n\r]*")


def entries(data: bytes, name: str, keep: Container[str] | None = None) -> Iterator[tuple[str | None, int, Any]]:
    """Yield key, position and value of every entry of the lists in a JSON object, as strictly as `parse_json`.

    Before the entries of a list comes an empty one at position -1, and there stands what is not a list. In a list
    without an object around it the key is None. Objects keep only the keys in `keep`. Raises DataError naming
    `name`.
    """
    reader = _Reader(data, strict_decoder(keep))
    with translated(data, name, reader):
        first = reader.peek()
        if first != "{":
            yield from reader.value_of(None)
        else:
            yield from _members(reader)
        if reader.peek():
            raise reader.damage()


def _members(reader: "_Reader") -> Iterator[tuple[str | None, int, Any]]:
    reader.at += 1
    seen: set[str] = set()
    mark = "}" if reader.peek() == "}" else ","
    reader.at += mark == "}"
    while mark == ",":
        if reader.peek() != '"':
            raise reader.damage()
        key = reader.value()
        if key in seen:
            raise ValueError(f"duplicate key '{key}'")
        seen.add(key)
        reader.take(":")
        yield from reader.value_of(key)
        mark = reader.take(",}")


class _Reader:
    """The text of a file, a block at a time; `at` is the place in the block, `lines` are those before it."""

    def __init__(self, data: bytes, decoder: json.JSONDecoder) -> None:
        self._data, self._scan = data, decoder.scan_once  # type: ignore[attr-defined]
        self._decode = codecs.getincrementaldecoder(json.detect_encoding(data[:4]))().decode
        self._read = self.at = self.lines = 0
        self._tried = 0  # entries before it have to be read one by one
        self._text, self._halves = "", False

    def damage(self) -> JSONDecodeError:
        """Return the error for text that is no JSON here."""
        return JSONDecodeError("", self._text, self.at)

    def peek(self) -> str:
        """Return the next character after spaces, nothing at the end."""
        while True:
            self.at = _SPACE.match(self._text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self._text) or not self._more():
                return self._text[self.at : self.at + 1]

    def take(self, marks: str) -> str:
        """Return the next character, which is one of the marks."""
        found = self.peek()
        if not found or found not in marks:
            raise self.damage()
        self.at += 1
        return found

    def value_of(self, key: str | None) -> Iterator[tuple[str | None, int, Any]]:
        """Yield a value as `entries` does."""
        if self.peek() != "[":
            yield key, -1, self.value()
            return
        self.at += 1
        yield key, -1, []
        if self.peek() == "]":
            self.at += 1
            return
        position, more = 0, True
        while more:
            for found in self._together() or [self.value()]:
                yield key, position, found
                position += 1
            more = self.take(",]") == ","
            self.peek()

    def _together(self) -> list[Any]:
        """Return the next entries of a list, parsed in one go; none where they have to be read one by one.

        What parses between brackets is whole entries: text cut within one does not.
        """
        cut = self._text.rfind("}", self.at, self.at + _TOGETHER) + 1 if self.at >= self._tried else 0
        if not cut or self._halves:
            return []
        try:
            found, end = self._scan(f"[{self._text[self.at : cut]}]", 0)
        except (StopIteration, JSONDecodeError):
            self._tried = cut
            return []
        self.at += end - 2  # without the brackets; the list may end before the cut
        assert isinstance(found, list)
        return found

    def value(self) -> Any:
        """Return the value that begins here."""
        while True:
            try:
                found, end = self._scan(self._text, self.at)
            except (StopIteration, JSONDecodeError) as error:
                if len(self._text) - self.at > LONGEST or not self._more():
                    raise error if isinstance(error, JSONDecodeError) else self.damage() from None
                continue
            if end + _REST < len(self._text) or not self._more():
                break
        self.at = end
        if self._halves:
            json.dumps(found, ensure_ascii=False).encode()
        return found

    def _more(self) -> bool:
        """Read the next block; return False at the end."""
        if self._read >= len(self._data):
            return False
        self.lines += self._text.count("\n", 0, self.at)
        block = self._data[self._read : self._read + _BLOCK]
        self._read += len(block)
        self._text = self._text[self.at :] + self._decode(block, self._read >= len(self._data))
        self.at = self._tried = 0
        self._halves = "\\ud" in self._text or "\\uD" in self._text  # json takes half a surrogate pair
        return True
