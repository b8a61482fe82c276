"""A domain's original data set, before the challenge's splits are made, and drawing a part of it from every class.

It is drawn in proportion, or as many as the official annotations have; the draw is the same on every machine and
with every numpy version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category
from decathlon.data_prep.challenge.layout import ANNOTATIONS, open_source
from decathlon.data_prep.sources.coco_json import read_file
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

_SEED = 0x6465636174686C6F6E  # "decathlon": the same split for everybody, so that numbers can be compared
_FILES = {"train": ("train",), "val": ("val",), "test": ("test", "test_stripped")}


@dataclass(frozen=True)
class Examples:
    """Labelled images: `picture(i)` is the i-th, `labels` (n,) are positions in the original's names.

    Images of one group, such as frames of one scene, stay in one split as far as its size allows; `groups` (n,)
    numbers them, None: every image is its own group. `origin` is for messages.
    """

    origin: str
    labels: npt.NDArray[np.int32]
    picture: Callable[[int], Picture]
    groups: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def grouped(self, keys: Sequence[object]) -> Examples:
        """Return the same images, grouped by equal keys."""
        number: dict[object, int] = {}
        return replace(self, groups=np.array([number.setdefault(key, len(number)) for key in keys], np.int64))

    def take(self, positions: npt.NDArray[np.int64]) -> Examples:
        """Return some of the images, in the order of `positions`."""
        return replace(
            self,
            labels=self.labels[positions],
            picture=lambda i: self.picture(int(positions[i])),
            groups=None if self.groups is None else self.groups[positions],
        )


@dataclass(frozen=True)
class Original:
    """A data set; `names` are its classes in the order of the released files.

    `val` and `test` are None if the original has no such split: it is then drawn from `train`. `notes` tell the
    user about differences from the challenge.
    """

    names: tuple[str, ...]
    train: Examples
    val: Examples | None = None
    test: Examples | None = None
    notes: tuple[str, ...] = ()


def labelled(
    origin: str, entries: Iterable[tuple[str, str]], names: Sequence[str], picture: Callable[[str], Picture]
) -> Examples:
    """Return examples from pairs of file and class name; raises DataError for an unknown class."""
    label_of = {name: label for label, name in enumerate(names)}
    files, labels = [], []
    for file, name in entries:
        if name not in label_of:
            raise DataError(
                f"{origin}: {file} has the class {name!r}. It must be one of the original's {len(names)}."
            )
        files.append(file)
        labels.append(label_of[name])
    return Examples(origin, np.array(labels, np.int32), lambda i: picture(files[i]))


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
