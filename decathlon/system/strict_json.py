"""Strict JSON: no duplicate keys and no NaN when reading, the same bytes every time when writing."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any, NoReturn, Protocol

from decathlon.errors import DataError
from decathlon.system.text import printable

LARGEST = 4 << 20  # bytes of JSON parsed as a whole
MOST_INSIDE = 400_000  # lists and objects in it, of some 300 bytes each; facts of 200,000 classes have half as many


def dump_json(value: object) -> str:
    """Return `value` as indented JSON with a final newline; raises ValueError for NaN or infinity."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def show_json(value: object) -> str:
    """Return the same JSON for a terminal: what would steer it or hide is escaped, as JSON allows in any text."""
    return printable(dump_json(value), "\n", lambda character: json.dumps(character)[1:-1])


def parse_json(text: bytes, name: str, keep: Container[str] | None = None, most: int = LARGEST) -> Any:
    """Parse JSON strictly: duplicate keys, NaN and numbers beyond a float are errors named after `name`.

    Objects keep only the keys in `keep`, by default all. It may have `most` bytes; what may be longer still is read
    with `decathlon.system.json_entries`.
    """
    if len(text) > most:
        raise too_long(name, len(text), most)
    refuse_many(text, name)
    with translated(text, name):
        plain = text.decode(json.detect_encoding(text))  # json.loads would accept half a surrogate pair
        found = (_ALL if keep is None else strict_decoder(keep)).decode(plain)
        if "\\ud" in plain or "\\uD" in plain:
            json.dumps(found, ensure_ascii=False).encode()
        return found


def refuse_many(text: bytes, name: str, most: int = MOST_INSIDE) -> None:
    """Raise DataError, before it is parsed, for JSON with more than `most` lists and objects."""
    if len(text) > most and text.count(b"{") + text.count(b"[") > most:
        raise DataError(f"{name} has more than {most:,} lists and objects. Check that it is the right file.")


def too_long(name: str, size: int, most: int) -> DataError:
    """Return the error for a file of more bytes than one of its kind can need."""
    return DataError(f"{name} has {size:,} bytes, the limit is {most:,}. Check that it is the right file.")


def finite(text: str) -> float:
    """Return a number that is not whole; raises ValueError for one beyond a float."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large for a number")
    return value


def strict_decoder(
    keep: Container[str] | None = None, parse_float: Callable[[str], float] = finite
) -> json.JSONDecoder:
    """Return a decoder that raises ValueError for what `parse_json` refuses."""
    hook = _unique if keep is None else partial(_unique, keep=keep)
    return json.JSONDecoder(object_pairs_hook=hook, parse_constant=_refuse, parse_float=parse_float)


class Counting(Protocol):
    """What has seen `lines` before the text in which an error stands."""

    lines: int


@contextlib.contextmanager
def translated(text: bytes, name: str, before: Counting | None = None) -> Iterator[None]:
    """Raise what goes wrong in parsing `text` as DataError named after `name`."""
    try:
        yield
    except UnicodeError:
        raise DataError(f"{name} holds text that is not Unicode.") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise DataError(f"{name} is empty. Restore a copy.") from None
        line = error.lineno + (before.lines if before else 0)
        where = f" (line {line})" if b"\n" in text.strip() else ""
        raise DataError(f"{name} is cut off or damaged{where}. Restore a copy.") from None
    except RecursionError:
        raise DataError(f"{name} is not valid JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise DataError(f"{name} is not valid JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]], keep: Container[str] | None = None) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"duplicate key '{twice}'")
    return found if keep is None else {key: value for key, value in pairs if key in keep}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


_ALL = strict_decoder()  # a decoder costs more than a line of JSON
