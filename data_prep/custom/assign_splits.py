"""Choose which images of a collection are packed, and in which split, and report the splits."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from decathlon.data.domains import SPLITS
from decathlon.data_prep.custom.add_request import DEFAULT, AddRequest
from decathlon.data_prep.custom.collection import Collection
from decathlon.data_prep.custom.scan import Scan, conflicting, duplicate_warnings, find_duplicates, redundant, scan
from decathlon.data_prep.custom.stratified_split import assign
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError, UsageError
from decathlon.reports.tables import Column, Row, Table
from decathlon.system.text import first, several

_COLUMNS = (
    Column("split", "split"),
    Column("images", "images", 0),
    Column("percent", "%", 1),
    Column("classes", "classes", 0),
    Column("fewest", "fewest images per class", 0),
    Column("most", "most", 0),
)


def assign_splits(collection: Collection, request: AddRequest, options: PackOptions) -> dict[int, str]:
    """Return the split of every packed image by position; report what is left out and what is doubtful.

    Raises DataError for unusable images, UsageError for options that do not fit the collection.
    """
    groups = _groups(collection, request)
    options.say(f"checking {several(len(collection), 'image')}")
    seen = scan(collection, options)
    positions = _usable(collection, seen, request, options)
    if collection.splits:
        found = {i: collection.splits[i] for i in positions}
    else:
        labels = collection.labels.tolist()
        split = assign([labels[i] for i in positions], [groups[i] for i in positions], request.parts, request.seed)
        found = dict(zip(positions, split, strict=True))
        together = several(len({groups[i] for i in positions}), "group")
        grouped = f", {together} kept together" if request.group else ""
        options.say(f"split {request.split or DEFAULT} within every class, seed {request.seed}{grouped}")
    for line in (
        *duplicate_warnings(collection, found, find_duplicates(seen.digests)),
        *_gaps(collection, found, request.group is not None),
    ):
        options.say(line)
    return found


def _groups(collection: Collection, request: AddRequest) -> Sequence[str]:
    """Return the name of every image's group; without --group every image is its own group."""
    for option, value in (("--split", request.split), ("--group", request.group)):
        if value is not None and collection.splits:
            raise UsageError(f"{request.source} already has splits, which are kept. Leave out {option}.")
    if request.group is None:
        return collection.names
    pattern = re.compile(request.group)
    matches = [pattern.search(name) for name in collection.names]
    groups = [match and (match[1] if pattern.groups else match[0]) for match in matches]
    named = [group for group in groups if group]
    if len(named) < len(groups):
        bare = [name for name, group in zip(collection.names, groups, strict=True) if not group]
        raise UsageError(
            f"--group matches nothing in {several(len(bare), 'name')} of {len(groups):,} ({first(bare)}). Write a "
            "pattern that matches all of them."
        )
    return named


def _usable(collection: Collection, seen: Scan, request: AddRequest, options: PackOptions) -> list[int]:
    if seen.broken and not request.skip_broken:
        problem = f"{request.source}: {several(len(seen.broken), 'image')} of {len(collection):,} cannot be used"
        fix = "Fix them, remove them, or leave them out with --skip-broken:"
        raise DataError(f"{problem}. {fix}", seen.listed())
    if seen.broken:
        options.say(f"Warning: left out {several(len(seen.broken), 'image')} that cannot be used:")
        for line in seen.listed():
            options.say(line)
    same = find_duplicates(seen.digests) if request.drop_duplicates else []
    drop = redundant(same, collection.splits)
    if drop:
        options.say(f"left out {several(len(drop), 'image')} with the same pixels as another one")
    if unsure := [" = ".join(collection.names[i] for i in found) for found in conflicting(collection, same)]:
        options.say(
            f"Warning: kept one of each set of images with more than one class, {several(len(unsure), 'time')}: "
            f"{first(unsure)}; correct the labels."
        )
    if not seen.digests:
        raise DataError(f"{request.source} has no usable image. Check the path of --from.")
    return [i for i in seen.digests if i not in drop]


def split_table(name: str, collection: Collection, place: Mapping[int, str]) -> Table:
    """Return one row per split: its images, its classes, and the fewest and most images of those."""
    counts = {split: _counts(collection, place, split) for split in SPLITS if split in place.values()}
    rows = tuple(_row(split, count, len(place)) for split, count in counts.items())
    return Table(name, _COLUMNS, rows, _row("all", np.sum([*counts.values()], axis=0), len(place)))


def _counts(
    collection: Collection, place: Mapping[int, str], split: str
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return a split's images of every class, and last those without one."""
    labels = collection.labels[[i for i, its in place.items() if its == split]]
    return np.bincount(labels % (len(collection.classes) + 1), minlength=len(collection.classes) + 1)


def _row(split: str, counts: np.ndarray[tuple[int], np.dtype[np.int64]], total: int) -> Row:
    there = counts[:-1][counts[:-1] > 0]
    images = int(counts.sum())
    fewest, most = (int(there.min()), int(there.max())) if len(there) else (None, None)
    return split, images, 100 * images / total, len(there), fewest, most


def _gaps(collection: Collection, place: Mapping[int, str], grouped: bool) -> list[str]:
    """Return a line for each missing split, and each split that lacks classes.

    They are warnings if groups were kept together: too few of them can leave a split empty unintentionally.
    """
    lines = []
    for split in SPLITS:
        warning = "Warning: " if split == "train" or grouped else ""
        if split not in place.values():
            lines.append(f"{warning}there is no {split} split")
            continue
        *counts, bare = _counts(collection, place, split)
        unknown = {label for label, count in enumerate(counts) if not count}
        if unknown and not bare:
            missing = [collection.classes[label] for label in unknown]
            classes = several(len(missing), "class", "classes")
            lost = sum(collection.labels[i] in unknown for i in place) if split == "train" else 0
            told = f"; {several(lost, 'image')} of other splits will be predicted wrong" if lost else ""
            lines.append(f"{warning}{split} has no image of {classes}: {first(missing)}{told}")
    return lines
