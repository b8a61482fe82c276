"""Long JSON, entry by entry: what the lists in a file hold is seen one at a time and never kept.

Python's parser can be made to build objects of thirty times the bytes of a text; read in a stream, a file costs its
own bytes and what its reader keeps.
"""

import codecs
import io
import json
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any

from decathlon.errors import DataError
from decathlon.system.strict_json import finite, parse_json, strict_decoder, translated

SHORT = 1 << 16  # characters of one entry of results or ground truth, which need some hundred
LONGEST = 4 << 20  # of an annotation, whose outlines may take some thousand
MOST_KEYS = 1_000  # of the object around the lists; annotations have five
_BLOCK = 1 << 20
_TOGETHER = 1 << 16  # characters of short entries that are parsed in one go
_REST = 2  # characters after a number at the end of a block that may belong to it, as in 1e-
_SPACE = re.compile(r"[ \t\n\r]*")
_spell = json.JSONEncoder(ensure_ascii=False).encode


@dataclass
class Room:
    """What may still be read, from one file or several: entries, and lists, objects and fractions in them.

    These cost a call of Python each, or memory. `longest` are the characters of a single entry.
    """

    entries: int
    inside: int
    longest: int = SHORT

    def __post_init__(self) -> None:
        self._most = f"{self.entries:,} entries", f"{self.inside:,} lists, objects and fractions"

    def take(self, name: str, entries: int = 0, inside: int = 0) -> None:
        """Count what is read from a file; raises DataError naming it where it is too much."""
        self.entries -= entries
        self.inside -= inside
        if self.entries < 0 or self.inside < 0:
            most = self._most[self.entries >= 0]
            raise DataError(f"{name} exceeds the limit of {most}. Check that it is the right file.")

    def decoder(self, name: str, keep: Container[str] | None = None) -> json.JSONDecoder:
        """Return a strict decoder for parts of a file; it counts fractions, the text what else there is."""

        def fraction(text: str) -> float:
            self.take(name, 0, 1)
            return finite(text)

        return strict_decoder(keep, fraction)


def lines(data: bytes, name: str, room: Room) -> Iterator[Any]:
    """Yield the value on every line, as strictly as `parse_json` and at half its cost; blank lines are left out.

    Raises DataError naming `name` and the line, also where there is more than `room` for.
    """
    decode = room.decoder(name).decode
    for number, line in enumerate(io.BytesIO(data), 1):
        room.take(name, 1, line.count(b"{") + line.count(b"["))
        if len(line) > room.longest:
            raise DataError(
                f"{name}, line {number}, has more than {room.longest:,} bytes. Check that it is the right file."
            )
        if not line.strip():
            continue
        try:
            found = decode(line.decode())
            if b"\\u" in line:
                _spell(found).encode()
        except (ValueError, RecursionError):
            found = parse_json(line, f"{name}, line {number},")  # says what is wrong
        yield found


def entries(
    data: bytes, name: str, room: Room, keep: Container[str] | None = None
) -> Iterator[tuple[str | None, int, Any]]:
    """Yield key, position and value of every entry of the lists in a JSON object, as strictly as `parse_json`.

    Before the entries of a list comes an empty one at position -1, and there stands what is not a list. In a list
    without an object around it the key is None. Objects keep only the keys in `keep`. Raises DataError naming
    `name`, also where there is more than `room` for.
    """
    reader = _Reader(data, name, room, keep)
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
        if len(seen) > MOST_KEYS:
            raise DataError(f"{reader.name} has more than {MOST_KEYS:,} keys. Check that it is the right file.")
        reader.take(":")
        yield from reader.value_of(key)
        mark = reader.take(",}")


class _Reader:
    """The text of a file, a block at a time; `at` is the place in the block, `lines` are those before it."""

    def __init__(self, data: bytes, name: str, room: Room, keep: Container[str] | None) -> None:
        self._data, self.name, self._room = data, name, room
        self._scan = room.decoder(name, keep).scan_once  # type: ignore[attr-defined]
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
            batch = self._together() or [self.value()]
            self._room.take(self.name, len(batch))
            for found in batch:
                yield key, position, found
                position += 1
            more = self.take(",]") == ","
            self.peek()

    def _together(self) -> list[Any]:
        """Return the next entries of a list, parsed in one go; none where they have to be read one by one.

        What parses between brackets is whole entries: text cut within one does not.
        """
        if self.at < self._tried:
            return []
        end = self.at + _TOGETHER
        text, at = self._text, self.at
        cut = text.rfind("}", at, end) + 1 or text.rfind("],", at, end) + 1 or text.rfind(",", at, end)
        self._tried = cut if cut > at else end
        for _ in range(2):
            try:
                found, read = self._scan(f"[{text[at : max(cut, at)]}]", 0)
            except JSONDecodeError as error:  # within a text, perhaps: the entry before it ends at a comma
                cut = text.rfind(",", at, at + error.pos - 1)
            except StopIteration:
                break
            else:
                self.at += read - 2  # without the brackets; the list may end before the cut
                self._tried = self.at if found else self._tried
                batch: list[Any] = self._unicode(found)
                return batch
        return []

    def value(self) -> Any:
        """Return the value that begins here."""
        while True:
            try:
                found, end = self._scan(self._text, self.at)
            except (StopIteration, JSONDecodeError) as error:
                if len(self._text) - self.at > self._room.longest or not self._more():
                    raise self._fault(error) from None
                continue
            if end - self.at > self._room.longest:
                raise self._too_long()
            if end + _REST < len(self._text) or not self._more():
                break
        self.at = end
        return self._unicode(found)

    def _fault(self, error: StopIteration | JSONDecodeError) -> Exception:
        """Return the error for text that is no value: damaged, or so long that its end was not looked for."""
        place, said = (error.pos, error.msg) if isinstance(error, JSONDecodeError) else (error.value, "")
        if place - self.at > self._room.longest or (
            said.startswith("Unterminated string") and len(self._text) - self.at > self._room.longest
        ):
            return self._too_long()
        return error if isinstance(error, JSONDecodeError) else self.damage()

    def _too_long(self) -> DataError:
        problem = f"{self.name} has an entry of more than {self._room.longest:,} characters"
        return DataError(f"{problem}. Check that it is the right file.")

    def _unicode(self, found: Any) -> Any:
        """Return what was read; raises UnicodeError for half a surrogate pair, which json takes."""
        if self._halves:
            _spell(found).encode()
        return found

    def _more(self) -> bool:
        """Read the next block; return False at the end."""
        if self._read >= len(self._data):
            return False
        self.lines += self._text.count("\n", 0, self.at)
        block = self._data[self._read : self._read + _BLOCK]
        self._read += len(block)
        text = self._decode(block, self._read >= len(self._data))
        self._room.take(self.name, inside=len(block) - len(block.translate(None, b"{[")))  # one pass for both
        self._text = self._text[self.at :] + text
        self.at = self._tried = 0
        self._halves = "\\ud" in self._text or "\\uD" in self._text
        return True
