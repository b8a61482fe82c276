"""A COCO annotation file with one category per image; boxes and outlines are not read."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from pathlib import Path

from decathlon.data_prep.custom.collection import Collection, Example, collect, first
from decathlon.data_prep.sources.coco_json import parse_coco
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.files import read_bytes
from decathlon.system.text import several


def read_annotation(path: Path) -> Collection:
    """Read a COCO annotation file; its images are beside it, in `images` there, or the same one folder up.

    Raises DataError naming the entry that is wrong, and for images with no category or several.
    """
    coco = parse_coco(read_bytes(path), str(path))
    classes = {i: name.strip() for i, name in coco.categories.items()}
    files = {i: posixpath.normpath(name) for i, name in coco.files.items()}
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
    return collect(
        "a COCO annotation", examples, lambda name: Picture(name, f"{root}/{name}"), notes, classes.values()
    )


def _root(path: Path, name: str) -> Path:
    """Return the folder that holds an image of that name, of the usual ones."""
    places = [folder / inner for folder in (path.parent, path.parent.parent) for inner in ("", "images")]
    return next((place for place in places if (place / name).is_file()), path.parent)
