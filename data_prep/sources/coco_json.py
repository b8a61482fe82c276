"""One COCO style annotation file, read entry by entry: every entry of the wrong kind is an error with its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category
from decathlon.data_prep.sources.file_names import unsafe
from decathlon.errors import DataError
from decathlon.system.strict_json import parse_json

# what is read of an annotation file; outlines and captions may be most of it
KEYS = frozenset({"images", "annotations", "categories", "id", "file_name", "image_id", "category_id", "name"})
ID_STEP = 10**7  # ids of domain i lie between i * ID_STEP and (i + 1) * ID_STEP


@dataclass(frozen=True)
class AnnotationFile:
    """What the annotation file `origin` tells of one split; labels are -1 where it holds none.

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
    """Parse and check an annotation file; raises DataError naming `origin` and the entry that is wrong."""
    data = entry_of(parse_json(text, origin, KEYS), origin)
    categories = _read_categories(data, origin)
    images = entries(data, "images", origin)
    if not images:
        raise DataError(f"{origin} lists no images: fill it or remove it.")
    ids = [integer(entry, "id", origin) for entry in images]
    refuse_twice(ids, f"{origin}: image id")
    _refuse_foreign(ids, categories[0].id // ID_STEP, f"{origin}: image id")
    files = tuple(file_name(entry, origin) for entry in images)
    annotations = entries(data, "annotations", origin) if "annotations" in data else []
    if not annotations and not may_lack_labels:
        raise DataError(f"{origin} holds no annotations: only a test split may go without labels.")
    labels = _read_labels(annotations, ids, categories, origin) if annotations else [-1] * len(ids)
    return AnnotationFile(origin, categories, files, np.array(ids, np.int64), np.array(labels, np.int32))


def _read_categories(data: Mapping[str, Any], origin: str) -> tuple[Category, ...]:
    categories = sorted(
        (
            Category(integer(entry, "id", origin), string(entry, "name", origin))
            for entry in entries(data, "categories", origin)
        ),
        key=lambda category: category.id,
    )
    if not categories:
        raise DataError(f"{origin}: 'categories' is empty: list every class there.")
    refuse_twice([category.id for category in categories], f"{origin}: category id")
    if categories[0].id < ID_STEP:
        raise DataError(
            f"{origin}: category id {categories[0].id} has no domain: write ids as the domain's number, from 1, "
            f"times {ID_STEP:,} plus the class's number."
        )
    _refuse_foreign([category.id for category in categories], categories[0].id // ID_STEP, f"{origin}: category id")
    return tuple(categories)


def _read_labels(
    annotations: list[Any], ids: list[int], categories: tuple[Category, ...], origin: str
) -> list[int]:
    label_of = {category.id: label for label, category in enumerate(categories)}
    labels = dict.fromkeys(ids, -1)
    for entry in annotations:
        image, category = integer(entry, "image_id", origin), integer(entry, "category_id", origin)
        if image not in labels:
            raise DataError(
                f"{origin}: an annotation labels image id {image}, which is not in 'images': remove it."
            )
        if category not in label_of:
            raise DataError(
                f"{origin}: image id {image} has category id {category}, which is not in 'categories': correct it."
            )
        if labels[image] >= 0:
            raise DataError(f"{origin}: image id {image} is annotated twice: leave it one label.")
        labels[image] = label_of[category]
    unlabelled = [image for image, label in labels.items() if label < 0]
    if unlabelled:
        raise DataError(f"{origin}: image id {unlabelled[0]} has no annotation, others have: label all or none.")
    return list(labels.values())


def _refuse_foreign(ids: Iterable[int], index: int, what: str) -> None:
    for value in ids:
        if value // ID_STEP != index:
            raise DataError(
                f"{what} {value} is of domain {value // ID_STEP}, the file's first category id of domain {index}: "
                "renumber one of them."
            )


def entry_of(value: Any, origin: str) -> Mapping[str, Any]:
    """Return a JSON object; raises DataError for anything else."""
    if not isinstance(value, dict):
        raise DataError(f"{origin}: it holds no object where one must stand: write it in the COCO format.")
    return value


def entries(data: Mapping[str, Any], key: str, origin: str) -> list[Any]:
    """Return the list under `key`; raises DataError when there is none."""
    value = data.get(key)
    if not isinstance(value, list):
        raise DataError(f"{origin}: '{key}' is missing or not a list: write it in the COCO format.")
    return value


def integer(entry: Any, key: str, origin: str) -> int:
    """Return the whole number from 0 under `key`; raises DataError when it is none."""
    value = entry_of(entry, origin).get(key)
    if type(value) is not int or not 0 <= value < 2**63:  # bool is an int to isinstance
        raise DataError(f"{origin}: '{key}' is {_shown(value)}, not a whole number: ids are integers from 0.")
    return value


def string(entry: Any, key: str, origin: str) -> str:
    """Return the text under `key`; raises DataError when it is none."""
    value = entry_of(entry, origin).get(key)
    if not isinstance(value, str):
        raise DataError(f"{origin}: '{key}' is {_shown(value)}, not a text: write it in quotes.")
    return value


def file_name(entry: Any, origin: str) -> str:
    """Return an image's `file_name`; raises DataError when it is none that stays in its folder."""
    name = string(entry, "file_name", origin)
    if reason := unsafe(name):
        raise DataError(f"{origin}: file name {name!r:.200} {reason}: write it relative to the source.")
    return name


def refuse_twice(ids: list[int], what: str) -> None:
    """Raise DataError when an id stands twice; `what` begins its sentence."""
    if len(set(ids)) != len(ids):
        twice = next(value for value, count in Counter(ids).items() if count > 1)
        raise DataError(f"{what} {twice} stands there twice: give every entry an id of its own.")


def _shown(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | float | int | None) else f"a {type(value).__name__}"
