"""A CSV file of images: path, label and, where there is one, split."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator
from pathlib import Path

from decathlon.data_prep.custom.collection import SPLIT_WORDS, Collection, Example, collect, first
from decathlon.data_prep.sources.file_names import unsafe
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

_NEEDED = ("path", "label")


def read_table(path: Path) -> Collection:
    """Read a CSV file whose first line names the columns path, label and perhaps split.

    Paths begin at the file's folder. Raises DataError naming the line that is wrong.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"cannot read {path}: it is no regular file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark before UTF-8
            rows = csv.reader(file, strict=True)
            columns = _columns(next(rows, []), path)
            examples = list(_examples(((rows.line_num, row) for row in rows if row), columns, path))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8: save it in that encoding.") from None
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}: correct the line.") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from None
    if not examples:
        raise DataError(f"{path} lists no images: add a line for each.")
    others = [name for name in columns if name not in (*_NEEDED, "split")]
    notes = [f"left out columns of {path.name}: {first(others)}"] if others else []
    kind = "a CSV file with splits" if "split" in columns else "a CSV file"
    return collect(kind, examples, lambda name: Picture(name, f"{path.parent}/{name}"), notes)


def _columns(header: list[str], path: Path) -> list[str]:
    columns = [name.strip().lower() for name in header]
    for name in _NEEDED:
        if name not in columns:
            told = ",".join(columns)[:60] or "nothing"
            raise DataError(
                f"{path} has no column '{name}': its first line must be path,label[,split], not {told}."
            )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns '{twice}': keep one.")
    return columns


def _examples(rows: Iterator[tuple[int, list[str]]], columns: list[str], path: Path) -> Iterator[Example]:
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(columns):
            raise DataError(
                f"{where} has {len(row)} fields, the first line {len(columns)}: quote what holds commas."
            )
        values = dict(zip(columns, row, strict=True))
        if reason := unsafe(values["path"]):
            raise DataError(f"{where}: path {values['path']!r} {reason}: write it relative to the file.")
        name = posixpath.normpath(values["path"])
        if name in lines:
            raise DataError(f"{where}: {name} stands in line {lines[name]} already: leave it one label.")
        lines[name] = line
        yield Example(name, _label(values["label"], where), _split(values, where))


def _label(value: str, where: str) -> str:
    if not value.strip():
        raise DataError(f"{where} has no label: every image needs one.")
    return value.strip()


def _split(values: dict[str, str], where: str) -> str | None:
    if "split" not in values:
        return None
    word = values["split"].strip().lower()
    if word not in SPLIT_WORDS:
        raise DataError(f"{where}: split is '{word}', it must be train, val or test.")
    return SPLIT_WORDS[word]
