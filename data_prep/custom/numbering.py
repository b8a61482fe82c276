"""Number a split collection in the way of the official domains."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from decathlon.data.domains import SPLITS, Category, CropPolicy
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit
from decathlon.data_prep.sources.coco_json import ID_STEP
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

FIRST_IMAGE = 200_000  # image ids come after it, category ids before
MOST_IMAGES = ID_STEP - FIRST_IMAGE - 1


def plan(
    name: str, index: int, collection: Collection, place: Mapping[int, str], flip: bool, crop: CropPolicy
) -> PlannedDomain:
    """Return a domain of the images in `place`, which maps a position to its split.

    Ids are `index` times 10^7 plus a class's rank, or plus 200,000 and an image's rank over train, val and test.
    Raises DataError for more images or classes than ids.
    """
    if len(place) > MOST_IMAGES or len(collection.classes) > FIRST_IMAGE:
        raise DataError(
            f"{name} has {len(place):,} images of {len(collection.classes):,} classes. A domain can have at most "
            f"{MOST_IMAGES:,} of {FIRST_IMAGE:,}."
        )
    categories = tuple(Category(index * ID_STEP + rank, c) for rank, c in enumerate(collection.classes, 1))
    splits: dict[str, PlannedSplit] = {}
    rank = 1
    for split in SPLITS:
        positions = np.array(positions_of(split, collection, place), np.int64)
        if len(positions):
            splits[split] = _split(name, collection, split, positions, index * ID_STEP + FIRST_IMAGE + rank)
            rank += len(positions)
    return PlannedDomain(name, index, categories, splits, flip, crop)


def positions_of(split: str, collection: Collection, place: Mapping[int, str]) -> list[int]:
    """Return the positions of a split's images in the order they are packed.

    Test images are shuffled, by a digest of their names: in class order their ids would reveal the labels.
    """
    found = sorted(position for position, its in place.items() if its == split)
    if split != "test":
        return found
    return sorted(
        found, key=lambda i: hashlib.sha256(collection.names[i].encode(errors="surrogateescape")).digest()
    )


def _split(
    name: str, collection: Collection, split: str, positions: np.ndarray[Any, np.dtype[np.int64]], first_id: int
) -> PlannedSplit:
    def pictures(begin: int, end: int) -> list[Picture]:
        return [collection.picture(i) for i in positions[begin:end].tolist()]

    return PlannedSplit(
        f"{name}/{split}", first_id + np.arange(len(positions)), collection.labels[positions], pictures
    )
