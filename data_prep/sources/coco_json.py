"""COCO style annotation files: images, categories and one category per annotation; the rest is not read."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category
from decathlon.data_prep.sources.image_ref import unsafe
from decathlon.errors import DataError
from decathlon.system.json_entries import LONGEST, Room, entries
from decathlon.system.schema import MOST, find_fault

# the only keys kept while parsing: outlines and captions may be most of a file
_KEYS = frozenset({"id", "file_name", "image_id", "category_id", "name"})
ID_STEP = 10**7  # ids of domain i lie between i * ID_STEP and (i + 1) * ID_STEP
MOST_BYTES = 1 << 30  # of one file; that of ImageNet's train split has some 250 MB
MOST_ENTRIES = ID_STEP  # of all lists together


def _id(value: Any) -> str | None:
    return None if type(value) is int and 0 <= value <= MOST else "a whole number from 0"


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "text"


def _inner_path(value: Any) -> str | None:
    safe = isinstance(value, str) and not unsafe(value)
    return None if safe else "a relative path inside its folder, with forward slashes and printable characters"


_SHAPE: dict[str, Any] = {
    "images": [{"id": _id, "file_name": _inner_path}],
    "annotations": [{"image_id": _id, "category_id": _id}],
    "categories": [{"id": _id, "name": _text}],
}


@dataclass(frozen=True)
class Coco:
    """The content of an annotation file: file names by image id, category names by id, and the annotations.

    `origin` is the file's name for messages.
    """

    origin: str
    files: dict[int, str]
    categories: dict[int, str]
    annotated: tuple[array[int], array[int]]  # image and category ids

    def labels(self) -> Iterator[tuple[int, int]]:
        """Yield the image and category id of each annotation; raises DataError for ids that are not listed."""
        for image, category in zip(*self.annotated, strict=True):
            if image not in self.files:
                raise DataError(
                    f"{self.origin}: an annotation has image id {image}, which is not in 'images'. Remove it."
                )
            if category not in self.categories:
                raise DataError(
                    f"{self.origin}: image id {image} has category id {category}, which is not in 'categories'. "
                    "Correct it."
                )
            yield image, category


def parse_coco(text: bytes, origin: str) -> Coco:
    """Parse an annotation file; raises DataError naming `origin` and the entry that is wrong."""
    coco, found = Coco(origin, {}, {}, (array("q"), array("q"))), set()
    room = Room(MOST_ENTRIES, MOST_BYTES, LONGEST)  # outlines may hold as many fractions as fit in the bytes
    for key, position, entry in entries(text, origin, room, _KEYS):
        if position < 0:
            found.add(key)
            shape = _SHAPE if key is None else {key: _SHAPE.get(key, object)}
            _refuse(origin, find_fault(entry if key is None else {key: entry}, shape))
        elif key in _SHAPE:
            _add(coco, str(key), position, entry)
    _refuse(origin, next((f"{key} is missing" for key in ("images", "categories") if key not in found), None))
    for key, ids in (("images", coco.files), ("categories", coco.categories)):
        if not ids:
            raise DataError(f"{origin}: '{key}' is empty. List every one there.")
    return coco


def _add(coco: Coco, key: str, position: int, entry: Any) -> None:
    """Keep what an entry of a list says; raises DataError for one of another shape, or with the id of another."""
    # the shape's own checks, without its layers: a million entries come here
    first, second = _SHAPE[key][0].items()
    if type(entry) is not dict or first[1](entry.get(first[0])) or second[1](entry.get(second[0])):
        _refuse(coco.origin, find_fault(entry, _SHAPE[key][0], f"{key}[{position}]"))
    if key == "annotations":
        coco.annotated[0].append(entry["image_id"])
        coco.annotated[1].append(entry["category_id"])
        return
    named, name = (coco.files, "file_name") if key == "images" else (coco.categories, "name")
    if entry["id"] in named:
        problem = f"{coco.origin}: '{key}' has a duplicate id {entry['id']}"
        raise DataError(f"{problem}. Give every entry its own id.")
    named[entry["id"]] = entry[name]


def _refuse(origin: str, fault: str | None) -> None:
    if fault:
        raise DataError(f"{origin}: {fault}. Write it in the COCO format.")


@dataclass(frozen=True)
class AnnotationFile:
    """One split of a domain, as the annotation file `origin` lists it; labels are -1 if the file holds none.

    `categories` are sorted by id; a label is a position in them.
    """

    origin: str
    categories: tuple[Category, ...]
    files: tuple[str, ...]
    image_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.files)


def read_file(text: bytes, origin: str, may_lack_labels: bool) -> AnnotationFile:
    """Parse an annotation file with the challenge's ids; raises DataError naming `origin` and the wrong entry."""
    coco = parse_coco(text, origin)
    categories = tuple(Category(*pair) for pair in sorted(coco.categories.items()))
    index = categories[0].id // ID_STEP
    if not index:
        raise DataError(
            f"{origin}: category id {categories[0].id} belongs to no domain. Write ids as the domain's number, "
            f"from 1, times {ID_STEP:,} plus the number of the class."
        )
    for kind, ids in (("category", coco.categories), ("image", coco.files)):
        foreign = next((value for value in ids if value // ID_STEP != index), None)
        if foreign is not None:
            raise DataError(
                f"{origin}: {kind} id {foreign} belongs to domain {foreign // ID_STEP}, the first category id to "
                f"domain {index}. Renumber one of them."
            )
    labels = _read_labels(coco, categories, may_lack_labels)
    image_ids = np.fromiter(coco.files, np.int64, len(coco.files))
    return AnnotationFile(origin, categories, tuple(coco.files.values()), image_ids, labels)


def _read_labels(coco: Coco, categories: tuple[Category, ...], may_be_missing: bool) -> npt.NDArray[np.int32]:
    """Return the label of every image, -1 for all if the file has no annotations."""
    if not coco.annotated[0] and not may_be_missing:
        raise DataError(f"{coco.origin} has no annotations. Only a test split may go without labels.")
    label_of = {category.id: label for label, category in enumerate(categories)}
    labels = dict.fromkeys(coco.files, -1)
    for image, category in coco.labels():
        if labels[image] >= 0:
            raise DataError(f"{coco.origin}: image id {image} has two annotations. Keep one.")
        labels[image] = label_of[category]
    found = np.fromiter(labels.values(), np.int32, len(labels))
    if coco.annotated[0] and found.min() < 0:
        bare = next(image for image, label in labels.items() if label < 0)
        raise DataError(f"{coco.origin}: image id {bare} has no annotation, others do. Label all images or none.")
    return found


def refuse_duplicates(ids: Iterable[int], problem: str) -> None:
    """Raise DataError, which begins with `problem`, if an id occurs more than once."""
    ids = list(ids)
    if len(set(ids)) != len(ids):
        duplicate, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{problem} {duplicate}. Give every entry its own id.")
