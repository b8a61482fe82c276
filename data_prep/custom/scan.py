"""Every image of a data set looked at before anything is packed: which cannot be used, and which are the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.packing.decoding import Chunk, decode, wary
from decathlon.data_prep.packing.pipeline import Packing, chunks, worker_count
from decathlon.data_prep.packing.plan import PlannedSplit
from decathlon.data_prep.packing.workers import ordered
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.text import several

LISTED = 10
_FIRST = ("test", "val", "train")  # evaluation keeps its images
_SHOWN = 3


@dataclass(frozen=True)
class Survey:
    """`digests` by position, of the pixels that would be packed; `broken` says by position what is wrong."""

    digests: dict[int, bytes]
    broken: dict[int, str]

    def refuse_broken(self, origin: str) -> None:
        """Raise DataError naming the first images that cannot be used, if there are any."""
        if not self.broken:
            return
        total = len(self.digests) + len(self.broken)
        head = (
            f"{origin}: {several(len(self.broken), 'image')} of {total:,} cannot be used: mend them, take them out,"
        )
        raise DataError("\n".join([f"{head} or leave them out with --skip-broken.", *self.listed()]))

    def listed(self) -> list[str]:
        """Return an indented line for each of the first images that cannot be used."""
        lines = [f"  {reason}" for reason in list(self.broken.values())[:LISTED]]
        return lines + ["  …"] * (len(self.broken) > LISTED)


def survey(collection: Collection, how: Packing) -> Survey:
    """Decode every image; equal digests are equal pixels at the size that is packed."""
    count = len(collection)

    def pictures(begin: int, end: int) -> list[Picture]:
        return [collection.picture(i) for i in range(begin, end)]

    everything = PlannedSplit("", np.arange(count), collection.labels, pictures)
    found: list[bytes | str] = []
    with closing(ordered(_look, chunks([everything], how), worker_count(how, count))) as results:
        for result in results:
            found += result
            how.progress(len(found), count)
    digests = {position: each for position, each in enumerate(found) if isinstance(each, bytes)}
    return Survey(digests, {position: each for position, each in enumerate(found) if isinstance(each, str)})


def _look(chunk: Chunk) -> list[bytes | str]:
    """Return for every image the digest of its pixels and size, or what is wrong with it."""
    found: list[bytes | str] = []
    with wary():
        for picture in chunk.pictures:
            try:
                image = decode(picture.read(), picture.name, chunk.side, chunk.enlarge, chunk.upright)
                found.append(hashlib.sha256(b"%d %d " % image.size + image.tobytes()).digest())
            except DataError as error:
                found.append(str(error))
    return found


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
