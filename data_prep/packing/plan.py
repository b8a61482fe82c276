"""The domains and splits to pack, before any image is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Category, CropPolicy
from decathlon.data_prep.sources.image_ref import Picture

Pictures = Callable[[int, int], Sequence[Picture]]  # from a begin to an end position


@dataclass(frozen=True)
class PlannedSplit:
    """One split: `pictures(begin, end)` returns some of its images, in the order of labels and ids.

    `origin` names their source, for messages. `labels` are positions in the domain's categories, -1 if unknown.
    """

    origin: str
    image_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    pictures: Pictures

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class PlannedDomain:
    """One domain: its categories, sorted by id, and its splits in the order train, val, test.

    `flip` and `crop` are as in `Domain`; None means as published for an official domain, else True and `crop`.
    """

    name: str
    index: int
    categories: tuple[Category, ...]
    splits: Mapping[str, PlannedSplit]
    flip: bool | None = None
    crop: CropPolicy | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of every split."""
        return {name: len(split) for name, split in self.splits.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())
