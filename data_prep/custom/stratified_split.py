"""A stratified split: every class in the same parts, groups never divided, independent of the order of files.

Groups are assigned largest first, ties in an order drawn from the seed and their names; each goes to the split that
lacks most images of its classes. Without groups this is the method of largest remainders within every class.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from decathlon.data_prep.custom.add_request import Parts

PRIORITY = ("train", "test", "val")  # a class too small for all splits is missing from the last ones


def assign(labels: Sequence[int], groups: Sequence[str], parts: Parts, seed: int) -> list[str]:
    """Return the split of every image, from its class and the name of its group.

    A class of two groups is in train and test, one of three in all splits; a class of one is in train.
    """
    contents: dict[str, Counter[int]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        contents[group][label] += 1
    shares = _Shares(contents, parts)
    draw = {name: hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in contents}
    for group in sorted(contents, key=lambda name: (-contents[name].total(), draw[name])):
        shares.put(group, max(shares.splits, key=lambda split: shares.lack(split, group)))
    for split in shares.splits:
        shares.fill(split)
    return [shares.place[group] for group in groups]


class _Shares:
    """The images every split has of every class, and should have."""

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
        """Return by how much adding the group brings the split closer to its part of the group's classes.

        The distance is the sum over classes of (images there - images due)^2 / images of the class.
        """
        closer = 0.0
        for label, images in self._contents[group].items():
            due = self._due(split, label)
            closer += images * (2 * due - 100 * images) / self._size[label]
        return closer

    def fill(self, split: str) -> None:
        """Give the split a group of every class it lacks, the smallest that another split can spare."""
        bare = {label for label in self._size if not self._groups[split, label]}
        of: dict[int, list[str]] = defaultdict(list)
        for group in self.place:
            for label in bare.intersection(self._contents[group]):
                of[label].append(group)
        for label in sorted(bare):
            spare = [group for group in of[label] if self._can_spare(group, split)]
            if spare and not self._groups[split, label]:  # a group of several classes may have been added since
                self.put(min(spare, key=lambda group: self._cost(group, label)), split)

    def _cost(self, group: str, label: int) -> tuple[int, int]:
        """Return the cost of moving a group: its size, then how much its split lacks of the class."""
        return self._contents[group].total(), self._due(self.place[group], label)

    def _due(self, split: str, label: int) -> int:
        """Return how many images of a class, in hundredths, a split still lacks."""
        return self._size[label] * self._parts[split] - 100 * self._images[split, label]

    def _can_spare(self, group: str, split: str) -> bool:
        """Say whether a group may move: its split keeps others of its classes, or has a lower priority."""
        own = self.place[group]
        later = self.splits.index(own) > self.splits.index(split)
        return later or all(self._groups[own, label] > 1 for label in self._contents[group])
