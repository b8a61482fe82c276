"""Which images of a split to look at: of every class as many as of any other, drawn by a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def choose(labels: npt.NDArray[np.int32], number: int, key: tuple[int, ...]) -> list[int]:
    """Return at most `number` places in a split, by class and then in order; fewer are a part of more.

    One image of every class comes before the second of any.
    """
    order = np.random.Generator(np.random.PCG64(key)).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, begins, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)  # 0 for the image of its class that was drawn first, 1 for the second
    turn[by_class] = np.arange(len(labels)) - np.repeat(begins, counts)
    chosen = order[np.argsort(turn[order], kind="stable")][:number]
    return [int(place) for place in chosen[np.lexsort((chosen, labels[chosen]))]]
