"""A stratified split: every class in the same parts, groups never divided, the same for any order of files.

Groups are taken largest first, equal ones in an order drawn from the seed and their names; each goes where most of
its classes' images are missing. Without groups that is, in every class, the method of largest remainders.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from decathlon.data_prep.custom.add_request import Parts

PRIORITY = ("train", "test", "val")  # which split a class that is too small for all of them goes without last


def assign(labels: Sequence[int], groups: Sequence[str], parts: Parts, seed: int) -> list[str]:
    """Return the split of every image, from its class and the name of its group.

    A class of two groups is in train and test, one of three in all splits; a class of one is in train.
    """
    contents: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        contents[group][label] += 1
    shares = _Shares(contents, parts)
    for group in sorted(contents, key=lambda name: (-contents[name].total(), _draw(name, seed))):
        shares.put(group, max(shares.splits, key=lambda split: shares.lack(split, group)))
    for split in shares.splits:
        shares.fill(split)
    return [shares.place[group] for group in groups]


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


class _Shares:
    """What every split has of every class, and what it should have."""

    def __init__(self, contents: dict[str, Counter[int]], parts: Parts) -> None:
        self.splits = [split for split in PRIORITY if split in parts]
        self.place: dict[str, str] = {}  # of every group, in the order they were put
        self._contents, self._parts = contents, parts
        self._size: Counter[int] = Counter()
        for content in contents.values():
            self._size.update(content)
        self._images: Counter[tuple[str, int]] = Counter()
        self._groups: Counter[tuple[str, int]] = Counter()

    def put(self, group: str, split: str) -> None:
        """Put a group into a split, out of the one it was in."""
        before = self.place.get(group)
        for label, images in self._contents[group].items():
            self._images[split, label] += images
            self._groups[split, label] += 1
            if before is not None:
                self._images[before, label] -= images
                self._groups[before, label] -= 1
        self.place[group] = split

    def lack(self, split: str, group: str) -> float:
        """Return by how much putting the group there brings the split nearer to its part of the group's classes.

        The distance is the sum over classes of (images there - images due)^2 / images of the class.
        """
        nearer = 0.0
        for label, images in self._contents[group].items():
            due = self._due(split, label)
            nearer += images * (2 * due - 100 * images) / self._size[label]
        return nearer

    def fill(self, split: str) -> None:
        """Give the split a group of every class it has none of, the smallest that another split can spare."""
        bare = {label for label in self._size if not self._groups[split, label]}
        of: dict[int, list[str]] = defaultdict(list)
        for group in self.place:
            for label in bare.intersection(self._contents[group]):
                of[label].append(group)
        for label in sorted(bare):
            spare = [group for group in of[label] if self._can_spare(group, split)]
            if spare and not self._groups[split, label]:  # a group of several classes may have come since
                self.put(min(spare, key=lambda group: self._dear(group, label)), split)

    def _dear(self, group: str, label: int) -> tuple[int, int]:
        """Return what makes a group hard to spare: its size, then how short of the class its split is."""
        return self._contents[group].total(), self._due(self.place[group], label)

    def _due(self, split: str, label: int) -> int:
        """Return how much of a class, in hundredths of an image, a split should have beyond what it has."""
        return self._size[label] * self._parts[split] - 100 * self._images[split, label]

    def _can_spare(self, group: str, split: str) -> bool:
        """Say whether a group may move: its own split keeps others of its classes, or comes after this one."""
        own = self.place[group]
        later = self.splits.index(own) > self.splits.index(split)
        return later or all(self._groups[own, label] > 1 for label in self._contents[group])
