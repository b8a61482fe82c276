"""How many images of each class the official annotations have: what a split drawn anew can keep of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category
from decathlon.data_prep.challenge.layout import ANNOTATIONS, open_source
from decathlon.data_prep.originals.stratified_draw import shares
from decathlon.data_prep.sources.coco_json import read_file
from decathlon.errors import DataError

_FILES = {"train": ("train",), "val": ("val",), "test": ("test", "test_stripped")}


@dataclass(frozen=True)
class ClassCounts:
    """The images of every class (classes,) by split; a split whose annotations hold no labels has a number only."""

    origin: str
    by_class: Mapping[str, npt.NDArray[np.int64]]
    number: Mapping[str, int]

    def of(self, split: str, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return how many images of each class a split takes from images of these labels.

        Raises DataError when the annotations say nothing of the split, or there are too few images.
        """
        if split not in self.number:
            raise DataError(
                f"{self.origin} holds no annotations of the {split} images: name a folder with all of them."
            )
        classes = len(next(iter(self.by_class.values())))
        there = np.bincount(labels, minlength=classes)
        if self.number[split] > len(labels):
            raise DataError(
                f"{self.origin} has {self.number[split]:,} {split} images, there are {len(labels):,} in all."
            )
        wanted = self.by_class.get(split)
        wanted = shares(labels, classes, self.number[split]) if wanted is None else wanted
        return np.minimum(wanted, there)


def read_counts(path: Path, domain: str, categories: tuple[Category, ...]) -> ClassCounts:
    """Count the images of every class in the official annotations of a domain.

    Raises DataError when there are none, or when their categories are not the original's.
    """
    source = open_source([path])
    by_class, number = {}, {}
    for split, kinds in _FILES.items():
        files = (f"{ANNOTATIONS}/{domain}_{kind}.json" for kind in kinds)
        name = next((file for file in files if source.has(file)), None)
        if name is None:
            continue
        told = read_file(source.read(name), name, may_lack_labels=split == "test")
        if told.categories != categories:
            odd = next((c for c, own in zip(told.categories, categories, strict=False) if c != own), None)
            what = f"{odd.id} is {odd.name!r}" if odd else f"there are {len(told.categories)}"
            raise DataError(
                f"{name}: its categories are not the original's {len(categories)} in the released order ({what}): "
                "name the official annotations and the whole original."
            )
        number[split] = len(told)
        if (told.labels >= 0).all():
            by_class[split] = np.bincount(told.labels, minlength=len(categories))
    if "train" not in by_class:
        raise DataError(f"{path} holds no {ANNOTATIONS}/{domain}_train.json: name the official annotations.")
    return ClassCounts(str(path), by_class, number)


def check_counts(
    counts: ClassCounts, labels: Mapping[str, npt.NDArray[np.int32]], categories: tuple[Category, ...]
) -> None:
    """Raise DataError when the original's images do not have the annotations' number of each class."""
    for split, own in labels.items():
        there = np.bincount(own, minlength=len(categories))
        wanted = counts.by_class.get(split)
        if wanted is not None and not np.array_equal(there, wanted):
            odd = int(np.flatnonzero(there != wanted)[0])
            raise DataError(
                f"{counts.origin} has {wanted[odd]:,} {split} images of {categories[odd].name}, the original has "
                f"{there[odd]:,}: complete the original or leave out --annotations."
            )
        if len(own) != counts.number.get(split, len(own)):
            raise DataError(
                f"{counts.origin} has {counts.number[split]:,} {split} images, the original has {len(own):,}: "
                "complete the original or leave out --annotations."
            )
