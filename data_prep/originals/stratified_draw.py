"""Draw images from every class, in proportion or as many as the official annotations have.

The draw is the same on every machine and with every numpy version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category
from decathlon.data_prep.challenge.layout import ANNOTATIONS, open_source
from decathlon.data_prep.originals.original import Examples
from decathlon.data_prep.sources.coco_json import read_file
from decathlon.errors import DataError

_SEED = 0x6465636174686C6F6E  # "decathlon": the same split for everybody, so that numbers can be compared
_FILES = {"train": ("train",), "val": ("val",), "test": ("test", "test_stripped")}


def shares(labels: npt.NDArray[np.int32], classes: int, number: int) -> npt.NDArray[np.int64]:
    """Return how many of `number` images to draw from each class, in proportion to its images.

    Rounded by largest remainder, ties to the first class; the sum is `number`.
    """
    sizes = np.bincount(labels, minlength=classes).astype(np.int64)
    whole, remainder = np.divmod(sizes * number, max(1, len(labels)))
    more = np.argsort(-remainder, kind="stable")[: number - int(whole.sum())]
    whole[more] += 1
    return whole


def draw(examples: Examples, counts: npt.NDArray[np.int64], *key: int) -> tuple[Examples, Examples]:
    """Draw `counts` (classes,) images of every class at random; return the rest and the drawn, both in order.

    Whole groups are drawn, except that the last one of a class is cut where its number is reached. Another `key` is
    another draw.
    """
    groups = np.arange(len(examples)) if examples.groups is None else examples.groups
    # Raw bits: numpy guarantees their stream across versions, but not that of its shuffles.
    rank = np.random.PCG64([_SEED, *key]).random_raw(int(groups.max(initial=-1)) + 1)
    order = np.lexsort((np.arange(len(groups)), groups, rank[groups], examples.labels))
    sorted_labels = examples.labels[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_labels, sorted_labels)  # within its class
    drawn = np.zeros(len(groups), bool)
    drawn[order] = place < counts[sorted_labels]
    return examples.take(np.flatnonzero(~drawn)), examples.take(np.flatnonzero(drawn))


@dataclass(frozen=True)
class ClassCounts:
    """The number of images per class (classes,) by split; a split without labels has only a total in `number`."""

    origin: str
    by_class: Mapping[str, npt.NDArray[np.int64]]
    number: Mapping[str, int]

    def of(self, split: str, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return how many images of each class a split takes from images with these labels.

        Raises DataError if the annotations lack the split, or there are too few images.
        """
        if split not in self.number:
            raise DataError(
                f"{self.origin} has no annotations of the {split} images. Pass a folder with all of them."
            )
        classes = len(next(iter(self.by_class.values())))
        there = np.bincount(labels, minlength=classes)
        if self.number[split] > len(labels):
            raise DataError(
                f"{self.origin} has {self.number[split]:,} {split} images, the original only {len(labels):,}. "
                "Complete the original or leave out --annotations."
            )
        wanted = self.by_class.get(split)
        wanted = shares(labels, classes, self.number[split]) if wanted is None else wanted
        return np.minimum(wanted, there)


def read_counts(path: Path, domain: str, categories: tuple[Category, ...]) -> ClassCounts:
    """Count the images per class in the official annotations of a domain.

    Raises DataError without annotations, or if their categories are not those of the original.
    """
    source = open_source([path])
    by_class, number = {}, {}
    for split, kinds in _FILES.items():
        files = (f"{ANNOTATIONS}/{domain}_{kind}.json" for kind in kinds)
        name = next((file for file in files if source.has(file)), None)
        if name is None:
            continue
        file = read_file(source.read(name), name, may_lack_labels=split == "test")
        if file.categories != categories:
            odd = next((c for c, own in zip(file.categories, categories, strict=False) if c != own), None)
            what = f"{odd.id} is {odd.name!r}" if odd else f"there are {len(file.categories)}"
            raise DataError(
                f"{name}: its categories are not the original's {len(categories)} in the released order ({what}). "
                "Pass the official annotations and the complete original."
            )
        number[split] = len(file)
        if (file.labels >= 0).all():
            by_class[split] = np.bincount(file.labels, minlength=len(categories))
    if "train" not in by_class:
        raise DataError(f"{path} has no {ANNOTATIONS}/{domain}_train.json. Pass the official annotations.")
    return ClassCounts(str(path), by_class, number)


def check_counts(
    counts: ClassCounts, labels: Mapping[str, npt.NDArray[np.int32]], categories: tuple[Category, ...]
) -> None:
    """Raise DataError if the original and the annotations have different numbers of images per class."""
    for split, own in labels.items():
        there = np.bincount(own, minlength=len(categories))
        wanted = counts.by_class.get(split)
        if wanted is not None and not np.array_equal(there, wanted):
            odd = int(np.flatnonzero(there != wanted)[0])
            raise DataError(
                f"{counts.origin} has {wanted[odd]:,} {split} images of {categories[odd].name}, the original has "
                f"{there[odd]:,}. Complete the original or leave out --annotations."
            )
        if len(own) != counts.number.get(split, len(own)):
            raise DataError(
                f"{counts.origin} has {counts.number[split]:,} {split} images, the original has {len(own):,}. "
                "Complete the original or leave out --annotations."
            )
