"""Report the splits of a data set, and how many images per class they have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from decathlon.data.domains import SPLITS
from decathlon.data_prep.custom.collection import Collection, first
from decathlon.reports.tables import Column, Row, Table
from decathlon.system.text import several

_COLUMNS = (
    Column("split", "split"),
    Column("images", "images", 0),
    Column("percent", "%", 1),
    Column("classes", "classes", 0),
    Column("fewest", "fewest images per class", 0),
    Column("most", "most", 0),
)


def split_table(name: str, collection: Collection, place: Mapping[int, str]) -> Table:
    """Return one row per split: its images, its classes, and the fewest and most images of those."""
    counts = {split: _counts(collection, place, split) for split in SPLITS if split in place.values()}
    rows = tuple(_row(split, count, len(place)) for split, count in counts.items())
    return Table(name, _COLUMNS, rows, _row("all", np.sum([*counts.values()], axis=0), len(place)))


def _counts(
    collection: Collection, place: Mapping[int, str], split: str
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    positions = np.array([i for i, its in place.items() if its == split], np.int64)
    return np.bincount(collection.labels[positions], minlength=len(collection.classes))


def _row(split: str, counts: np.ndarray[tuple[int], np.dtype[np.int64]], total: int) -> Row:
    there = counts[counts > 0]
    images = int(counts.sum())
    return split, images, 100 * images / total, len(there), int(there.min()), int(there.max())


def gaps(collection: Collection, place: Mapping[int, str], grouped: bool = False) -> list[str]:
    """Return a line for each missing split, and each split that lacks classes.

    They are warnings if groups were kept together: too few of them can leave a split empty unintentionally.
    """
    lines = []
    for split in SPLITS:
        if split not in place.values():
            lines.append(f"{'Warning: ' if grouped else ''}there is no {split} split")
            continue
        missing = [collection.classes[i] for i in np.flatnonzero(_counts(collection, place, split) == 0)]
        if missing:
            warning = "Warning: " if split == "train" or grouped else ""
            lines.append(
                f"{warning}{split} has no image of {several(len(missing), 'class', 'classes')}: {first(missing)}"
            )
    return lines
