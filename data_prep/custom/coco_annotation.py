"""A COCO annotation: images, and one category for each; boxes and outlines are not read."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from pathlib import Path

from decathlon.data_prep.custom.collection import Collection, Example, collect, first
from decathlon.data_prep.sources.coco_json import KEYS, entries, entry_of, file_name, integer, refuse_twice, string
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.files import read_json
from decathlon.system.text import several


def read_annotation(path: Path) -> Collection:
    """Read a COCO annotation; its images lie beside it, in `images` there, or the same one folder up.

    Raises DataError naming the entry that is wrong, and when images have no category or several.
    """
    origin = str(path)
    data = entry_of(read_json(path, KEYS), origin)
    classes = _classes(data, origin)
    files = _files(data, origin)
    seen = _categories(data, classes, files, origin)
    bare = [files[image] for image in files if image not in seen]
    if bare:
        raise DataError(
            f"{origin}: {len(bare):,} of {several(len(files), 'image')} without a category ({first(bare)}): "
            "annotate them or take them out of 'images'."
        )
    torn = [files[image] for image, found in seen.items() if len(found) > 1]
    if torn:
        raise DataError(
            f"{origin}: {len(torn):,} of {several(len(files), 'image')} with several categories ({first(torn)}): "
            "keep the annotations of one category an image, as of the largest object, or cut the objects out."
        )
    examples = [Example(name, classes[seen[image].pop()]) for image, name in files.items()]
    root = _root(path, examples[0].name) if examples else path.parent
    notes = [f"images are read from {root}"] if root != path.parent else []
    return collect(
        "a COCO annotation", examples, lambda name: Picture(name, f"{root}/{name}"), notes, classes.values()
    )


def _classes(data: object, origin: str) -> dict[int, str]:
    found = entries(entry_of(data, origin), "categories", origin)
    ids = [integer(entry, "id", origin) for entry in found]
    refuse_twice(ids, f"{origin}: category id")
    names = [string(entry, "name", origin).strip() for entry in found]
    twice = next((name for name, count in Counter(names).items() if not name or count > 1), None)
    if twice is not None:
        raise DataError(f"{origin}: the category name '{twice}' is empty or stands there twice: give each its own.")
    return dict(zip(ids, names, strict=True))


def _files(data: object, origin: str) -> dict[int, str]:
    found = entries(entry_of(data, origin), "images", origin)
    ids = [integer(entry, "id", origin) for entry in found]
    refuse_twice(ids, f"{origin}: image id")
    return {i: posixpath.normpath(file_name(entry, origin)) for i, entry in zip(ids, found, strict=True)}


def _categories(data: object, classes: dict[int, str], files: dict[int, str], origin: str) -> dict[int, set[int]]:
    """Return the categories that every annotated image shows."""
    seen: dict[int, set[int]] = defaultdict(set)
    for entry in entries(entry_of(data, origin), "annotations", origin):
        image, category = integer(entry, "image_id", origin), integer(entry, "category_id", origin)
        if image not in files:
            raise DataError(f"{origin}: an annotation is of image id {image}, which is not in 'images': remove it.")
        if category not in classes:
            raise DataError(
                f"{origin}: image id {image} has category id {category}, which is not in 'categories': correct it."
            )
        seen[image].add(category)
    return seen


def _root(path: Path, name: str) -> Path:
    """Return the folder in which an image of that name is, of those where people put them."""
    places = [folder / inner for folder in (path.parent, path.parent.parent) for inner in ("", "images")]
    return next((place for place in places if (place / name).is_file()), path.parent)
