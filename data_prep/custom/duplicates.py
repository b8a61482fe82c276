"""Images of the same pixels under different names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from decathlon.data_prep.custom.collection import Collection
from decathlon.system.text import several

_FIRST = ("test", "val", "train")  # evaluation keeps its images
_SHOWN = 3


def twins(digests: Mapping[int, bytes]) -> list[list[int]]:
    """Return the positions of images that are the same, two or more together."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for position, digest in digests.items():
        same[digest].append(position)
    return [positions for positions in same.values() if len(positions) > 1]


def superfluous(found: Iterable[list[int]], splits: tuple[str, ...] | None) -> set[int]:
    """Return all but one of images that are the same; kept is one in test, else in val, else in train."""
    drop: set[int] = set()
    for positions in found:
        kept = min(positions, key=lambda i: (_FIRST.index(splits[i]) if splits else 0, i))
        drop.update(position for position in positions if position != kept)
    return drop


def torn(collection: Collection, found: Iterable[list[int]]) -> list[str]:
    """Return the names of images that are the same and have different classes, joined by " = "."""
    sets = [positions for positions in found if len({int(collection.labels[i]) for i in positions}) > 1]
    return [" = ".join(collection.names[i] for i in positions) for positions in sets]


def warnings(collection: Collection, place: Mapping[int, str], found: Iterable[list[int]]) -> Iterator[str]:
    """Yield what is wrong with images that are the same: `place` is the split of every image that is packed."""
    sets = [packed for positions in found if len(packed := [i for i in positions if i in place]) > 1]
    astride = [positions for positions in sets if len({place[i] for i in positions}) > 1]
    if astride:
        yield (
            f"Warning: identical images in more than one split, {several(len(astride), 'time')}: "
            f"{_shown(collection, place, astride)}; --drop-duplicates keeps one of each."
        )
    torn = [positions for positions in sets if len({int(collection.labels[i]) for i in positions}) > 1]
    if torn:
        yield (
            f"Warning: identical images in more than one class, {several(len(torn), 'time')}: "
            f"{_shown(collection, place, torn)}; correct the labels."
        )
    repeated = sum(len(positions) - len({place[i] for i in positions}) for positions in sets)
    if repeated:
        yield f"identical images within a split: {repeated:,} beside the first of their kind"


def _shown(collection: Collection, place: Mapping[int, str], sets: list[list[int]]) -> str:
    """Name the first sets, one image of every split or class."""
    told = []
    for positions in sets[:_SHOWN]:
        kinds = {(place[i], int(collection.labels[i])): i for i in reversed(positions)}
        told.append(" = ".join(f"{collection.names[i]} ({place[i]})" for i in sorted(kinds.values())))
    return ", ".join(told) + (", …" if len(sets) > _SHOWN else "")
