"""A domain's original data set: its classes and its labelled images, before the challenge's splits are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError


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
