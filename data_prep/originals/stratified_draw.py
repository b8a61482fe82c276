"""Images drawn from every class, the same on every machine and with every release of numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.originals.original import Examples

_SEED = 0x6465636174686C6F6E  # "decathlon": one split for everybody, so that numbers can be compared


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
    """Draw `counts` (classes,) images of every class at random; return the rest and them, both in their old order.

    Whole groups are drawn, but for the last one of a class, which is cut where its number is reached. `key` makes
    the draw another one.
    """
    groups = np.arange(len(examples)) if examples.groups is None else examples.groups
    # Raw bits: numpy keeps their stream the same for ever, that of its shuffles it does not.
    rank = np.random.PCG64([_SEED, *key]).random_raw(int(groups.max(initial=-1)) + 1)
    order = np.lexsort((np.arange(len(groups)), groups, rank[groups], examples.labels))
    sorted_labels = examples.labels[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_labels, sorted_labels)  # in its class
    drawn = np.zeros(len(groups), bool)
    drawn[order] = place < counts[sorted_labels]
    return examples.take(np.flatnonzero(~drawn)), examples.take(np.flatnonzero(drawn))
