"""Every image of a data set looked at before anything is packed: which cannot be used, and which are the same."""

from __future__ import annotations

import hashlib
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
