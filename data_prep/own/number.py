"""A collection and its split, numbered as the official domains are: a domain to pack and the truth of its test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from decathlon.data_prep.coco import ID_STEP
from decathlon.data_prep.own.collection import Collection
from decathlon.data_prep.picture import Picture
from decathlon.data_prep.plan import PlannedDomain, PlannedSplit
from decathlon.domains import SPLITS, Category, CropPolicy
from decathlon.errors import DataError

FIRST_IMAGE = 200_000  # ids of images come after it, those of categories before
MOST_IMAGES = ID_STEP - FIRST_IMAGE - 1


def plan(
    name: str, index: int, collection: Collection, place: Mapping[int, str], flip: bool, crop: CropPolicy
) -> PlannedDomain:
    """Return a domain of the images in `place`, which tells the split of a position; test images lose their labels.

    Ids are `index` times 10^7 plus a class's rank, or plus 200,000 and an image's rank over train, val and test.
    Raises DataError when there are more images or classes than ids.
    """
    if len(place) > MOST_IMAGES or len(collection.classes) > FIRST_IMAGE:
        raise DataError(
            f"{name} has {len(place):,} images of {len(collection.classes):,} classes: a domain holds at most "
            f"{MOST_IMAGES:,} of {FIRST_IMAGE:,}."
        )
    categories = tuple(Category(index * ID_STEP + rank, c) for rank, c in enumerate(collection.classes, 1))
    splits: dict[str, PlannedSplit] = {}
    rank = 1
    for split in SPLITS:
        positions = np.array(sorted(i for i, its in place.items() if its == split), np.int64)
        if len(positions):
            splits[split] = _split(name, collection, split, positions, index * ID_STEP + FIRST_IMAGE + rank)
            rank += len(positions)
    return PlannedDomain(name, index, categories, splits, flip, crop)


def _split(
    name: str, collection: Collection, split: str, positions: np.ndarray[Any, np.dtype[np.int64]], first_id: int
) -> PlannedSplit:
    def pictures(begin: int, end: int) -> list[Picture]:
        return [collection.picture(i) for i in positions[begin:end].tolist()]

    labels = collection.labels[positions]
    labels = np.full_like(labels, -1) if split == "test" else labels
    return PlannedSplit(f"{name}/{split}", first_id + np.arange(len(positions)), labels, pictures)


def truth(domain: PlannedDomain, collection: Collection, place: Mapping[int, str]) -> dict[str, Any] | None:
    """Return the annotations of the test images, as the scorer reads them; None when there are none."""
    if "test" not in domain.splits:
        return None
    ids = domain.splits["test"].image_ids.tolist()
    positions = sorted(i for i, split in place.items() if split == "test")
    images = [{"id": i, "file_name": collection.names[at]} for i, at in zip(ids, positions, strict=True)]
    labels = [domain.categories[int(collection.labels[at])].id for at in positions]
    return {
        "images": images,
        "annotations": [
            {"id": i, "image_id": i, "category_id": label} for i, label in zip(ids, labels, strict=True)
        ],
        "categories": [{"id": category.id, "name": category.name} for category in domain.categories],
    }
