"""Data sets listed in one file: a CSV table, or a COCO annotation file; images are named relative to the file."""

import csv
import io
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from decathlon.data_prep.custom.class_names import class_name
from decathlon.data_prep.custom.collection import SPLIT_NAMES, Collection, Example, are_splits, collect
from decathlon.data_prep.sources.coco_json import MOST_BYTES, parse_coco
from decathlon.data_prep.sources.disk_names import on_disk
from decathlon.data_prep.sources.image_ref import Picture, plain, unsafe
from decathlon.errors import DataError
from decathlon.system.files import read_bytes
from decathlon.system.text import first, several

_NEEDED = ("path", "label")
_USED = (*_NEEDED, "split")


def read_table(path: Path) -> Collection:
    """Read a CSV file whose first line has the columns path, label and optionally split.

    Paths are relative to the file's folder. Raises DataError naming the line that is wrong.
    """
    try:
        text = read_bytes(path, most=MOST_BYTES).decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8. Save it in that encoding.") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        columns = _columns(next(rows, []), path)
        table = [(rows.line_num, row) for row in rows if any(field.strip() for field in row)]
        examples = list(_examples(table, columns, path))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}. Correct the line.") from None
    if not examples:
        raise DataError(f"{path} lists no images. Add a line per image.")
    for i, name in enumerate(columns):
        if "split" not in columns and name not in _USED and are_splits(class_name(row[i]) for _, row in table):
            raise DataError(f"{path}: its column '{name}' holds splits. Call it 'split', or remove it.")
    others = [name or "one without a name" for name in columns if name not in _USED]
    notes = [f"left out columns of {path.name}: {first(others)}"] if others else []
    kind = "a CSV file with splits" if "split" in columns else "a CSV file"
    return collect(kind, examples, lambda name: _picture(path.parent, name), notes)


def _columns(header: list[str], path: Path) -> list[str]:
    columns = [class_name(name).lower() for name in header]
    for name in _NEEDED:
        if name not in columns:
            header_line = ",".join(columns)[:60] or "nothing"
            raise DataError(
                f"{path} has no column '{name}'. Its first line must be path,label[,split], not {header_line}."
            )
    duplicate = next((name for name in _USED if columns.count(name) > 1), None)
    if duplicate is not None:
        raise DataError(f"{path} has two columns '{duplicate}'. Keep one.")
    return columns


def _examples(rows: Iterable[tuple[int, list[str]]], columns: list[str], path: Path) -> Iterator[Example]:
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(columns):
            raise DataError(
                f"{where} has {len(row)} fields, the first line {len(columns)}. Quote fields that contain commas."
            )
        values = dict(zip(columns, row, strict=True))
        if reason := unsafe(values["path"]):
            raise DataError(f"{where}: path {values['path']!r} {reason}. Write it relative to the file.")
        name = plain(posixpath.normpath(values["path"]))
        if name in lines:
            raise DataError(f"{where}: {name} is already in line {lines[name]}. Keep one label for it.")
        lines[name] = line
        label, split = class_name(values["label"]), class_name(values.get("split", "train")).lower()
        if split not in SPLIT_NAMES:
            raise DataError(f"{where}: split is '{split}'. It must be train, val or test.")
        if not label and SPLIT_NAMES[split] != "test":
            raise DataError(f"{where} has no label. Every image needs one, except those of a test split.")
        yield Example(name, label or None, SPLIT_NAMES[split] if "split" in values else None)


def read_annotation(path: Path) -> Collection:
    """Read a COCO annotation file with one category per image; boxes and outlines are not read.

    Its images are beside it, in `images` there, or the same one folder up.

    Raises DataError naming the entry that is wrong, and for images with no category or several.
    """
    coco = parse_coco(read_bytes(path, most=MOST_BYTES), str(path))
    classes = {i: class_name(name) for i, name in coco.categories.items()}
    files = {i: plain(posixpath.normpath(name)) for i, name in coco.files.items()}
    wrong = next((name for name, count in Counter(classes.values()).items() if not name or count > 1), None)
    if wrong is not None:
        problem = f"duplicate category name '{wrong}'" if wrong else "a category has an empty name"
        raise DataError(f"{path}: {problem}. Give every category its own name.")
    seen: dict[int, set[int]] = defaultdict(set)
    for image, category in coco.labels():
        seen[image].add(category)
    total = several(len(files), "image")
    if bare := [files[image] for image in files if image not in seen]:
        raise DataError(
            f"{path}: {len(bare):,} of {total} without a category ({first(bare)}). Annotate them or remove them "
            "from 'images'."
        )
    if mixed := [files[image] for image, found in seen.items() if len(found) > 1]:
        raise DataError(
            f"{path}: {len(mixed):,} of {total} with several categories ({first(mixed)}). Keep the annotations of "
            "one category per image, such as those of the largest object, or cut the objects out."
        )
    examples = [Example(name, classes[seen[image].pop()]) for image, name in files.items()]
    root = _root(path, examples[0].name)
    notes = [f"images are read from {root}"] if root != path.parent else []
    return collect("a COCO annotation", examples, lambda name: _picture(root, name), notes, classes.values())


def _root(path: Path, name: str) -> Path:
    """Return the folder that holds an image of that name, of the usual ones."""
    places = [folder / inner for folder in (path.parent, path.parent.parent) for inner in ("", "images")]
    return next((place for place in places if Path(on_disk(str(place), name)).is_file()), path.parent)


def _picture(root: Path, name: str) -> Picture:
    return Picture(name, on_disk(str(root), name))
