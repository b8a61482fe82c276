"""Choose which images of a collection are packed, and in which split."""

from __future__ import annotations

import re
from collections.abc import Sequence

from decathlon.data_prep.custom.add_request import DEFAULT, AddRequest
from decathlon.data_prep.custom.collection import Collection, first
from decathlon.data_prep.custom.scan import Scan, conflicting, duplicate_warnings, find_duplicates, redundant, scan
from decathlon.data_prep.custom.split_report import gaps
from decathlon.data_prep.custom.stratified_split import assign
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError, UsageError
from decathlon.system.text import several


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
        options.say(_describe_split(request, len({groups[i] for i in positions})))
    for line in (
        *duplicate_warnings(collection, found, find_duplicates(seen.digests)),
        *gaps(collection, found, request.group is not None),
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
        seen.refuse_broken(str(request.source))
    if seen.broken:
        options.say(f"Warning: left out {several(len(seen.broken), 'image')} that cannot be used:")
        for line in seen.listed():
            options.say(line)
    same = find_duplicates(seen.digests) if request.drop_duplicates else []
    drop = redundant(same, collection.splits)
    if drop:
        options.say(f"left out {several(len(drop), 'image')} with the same pixels as another one")
    if unsure := conflicting(collection, same):
        options.say(
            f"Warning: kept one of each set of images with more than one class, {several(len(unsure), 'time')}: "
            f"{first(unsure)}; correct the labels."
        )
    if not seen.digests:
        raise DataError(f"{request.source} has no usable image. Check the path of --from.")
    return [i for i in seen.digests if i not in drop]


def _describe_split(request: AddRequest, groups: int) -> str:
    grouped = f", {several(groups, 'group')} kept together" if request.group else ""
    return f"split {request.split or DEFAULT} within every class, seed {request.seed}{grouped}"
