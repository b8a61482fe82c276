"""Check every image of a data set before packing: which are unusable, and which are identical."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from decathlon.data.decoding import decode, strict_pillow
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.packing.decoding import Chunk
from decathlon.data_prep.packing.pipeline import PackOptions, chunks, worker_count
from decathlon.data_prep.packing.plan import PlannedSplit
from decathlon.data_prep.packing.workers import ordered
from decathlon.errors import DataError
from decathlon.system.text import several

LISTED = 10
_FIRST = ("test", "val", "train")  # evaluation keeps its images
_LISTED_SETS = 3


@dataclass(frozen=True)
class Scan:
    """By position: `digests` of the pixels to be packed, and in `broken` what is wrong with unusable images."""

    digests: dict[int, bytes]
    broken: dict[int, str]

    def listed(self) -> list[str]:
        """Return an indented line for each of the first unusable images."""
        lines = [f"  {reason}" for reason in list(self.broken.values())[:LISTED]]
        return lines + ["  …"] * (len(self.broken) > LISTED)


def scan(collection: Collection, options: PackOptions) -> Scan:
    """Decode every image; equal digests mean equal pixels at the packed size."""
    count = len(collection)
    everything = PlannedSplit("", np.arange(count), collection.labels, collection.picture)
    found: list[bytes | str] = []
    with closing(ordered(_digest_chunk, chunks([everything], options), worker_count(options, count))) as results:
        for result in results:
            found += result
            options.progress(len(found), count)
    digests = {position: each for position, each in enumerate(found) if isinstance(each, bytes)}
    return Scan(digests, {position: each for position, each in enumerate(found) if isinstance(each, str)})


def _digest_chunk(chunk: Chunk) -> list[bytes | str]:
    """Return for every image the digest of its size and pixels, or what is wrong with it."""
    found: list[bytes | str] = []
    with strict_pillow():
        for picture in chunk.pictures:
            try:
                image = decode(picture.read(), picture.name, chunk.side, chunk.enlarge, chunk.upright)
                found.append(hashlib.sha256(b"%d %d " % image.size + image.tobytes()).digest())
            except DataError as error:
                found.append(str(error))
    return found


def find_duplicates(digests: Mapping[int, bytes]) -> list[list[int]]:
    """Return the positions of identical images, in lists of two or more."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for position, digest in digests.items():
        same[digest].append(position)
    return [positions for positions in same.values() if len(positions) > 1]


def redundant(found: Iterable[list[int]], splits: tuple[str, ...] | None) -> set[int]:
    """Return all but one of identical images; the one kept is in test, else in val, else in train."""
    drop: set[int] = set()
    for positions in found:
        kept = min(positions, key=lambda i: (_FIRST.index(splits[i]) if splits else 0, i))
        drop.update(position for position in positions if position != kept)
    return drop


def conflicting(collection: Collection, found: Iterable[list[int]]) -> list[list[int]]:
    """Return the positions of identical images with different classes."""
    return [positions for positions in found if len({int(collection.labels[i]) for i in positions} - {-1}) > 1]


def duplicate_warnings(
    collection: Collection, place: Mapping[int, str], found: Iterable[list[int]]
) -> Iterator[str]:
    """Yield warnings about identical images; `place` has the split of every packed image."""
    sets = [packed for positions in found if len(packed := [i for i in positions if i in place]) > 1]
    if astride := [positions for positions in sets if len({place[i] for i in positions}) > 1]:
        yield (
            f"Warning: identical images in more than one split, {several(len(astride), 'time')}: "
            f"{_name_images(collection, place, astride)}; --drop-duplicates keeps one of each."
        )
    if unsure := conflicting(collection, sets):
        yield (
            f"Warning: identical images in more than one class, {several(len(unsure), 'time')}: "
            f"{_name_images(collection, place, unsure)}; correct the labels."
        )
    repeated = sum(len(positions) - len({place[i] for i in positions}) for positions in sets)
    if repeated:
        yield f"identical images within a split: {repeated:,} beyond the first of each"


def _name_images(collection: Collection, place: Mapping[int, str], sets: list[list[int]]) -> str:
    """Name the first sets, one image of every split or class."""
    shown = []
    for positions in sets[:_LISTED_SETS]:
        kinds = {(place[i], int(collection.labels[i])): i for i in reversed(positions)}
        shown.append(" = ".join(f"{collection.names[i]} ({place[i]})" for i in sorted(kinds.values())))
    return ", ".join(shown) + (", …" if len(sets) > _LISTED_SETS else "")
