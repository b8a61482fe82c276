"""Which images of a collection are packed, and in which split."""

from __future__ import annotations

import re
from collections.abc import Sequence

from decathlon.data_prep.custom.add_request import DEFAULT, Addition
from decathlon.data_prep.custom.collection import Collection, first
from decathlon.data_prep.custom.scan import Survey, superfluous, survey, torn, twins, warnings
from decathlon.data_prep.custom.split_report import gaps
from decathlon.data_prep.custom.stratified_split import assign
from decathlon.data_prep.packing.pipeline import Packing
from decathlon.errors import DataError, UsageError
from decathlon.system.text import several


def place(collection: Collection, addition: Addition, how: Packing) -> dict[int, str]:
    """Return the split of the position of every image that is packed; say what is left out and what is doubtful.

    Raises DataError when images cannot be used, UsageError when options do not fit the collection.
    """
    groups = _groups(collection, addition)
    how.say(f"looking at {several(len(collection), 'image')}")
    seen = survey(collection, how)
    positions = _usable(collection, seen, addition, how)
    if collection.splits:
        found = {i: collection.splits[i] for i in positions}
    else:
        labels = collection.labels.tolist()
        split = assign(
            [labels[i] for i in positions], [groups[i] for i in positions], addition.parts, addition.seed
        )
        found = dict(zip(positions, split, strict=True))
        how.say(_told(addition, len({groups[i] for i in positions})))
    for line in (
        *warnings(collection, found, twins(seen.digests)),
        *gaps(collection, found, addition.group is not None),
    ):
        how.say(line)
    return found


def _groups(collection: Collection, addition: Addition) -> Sequence[str]:
    """Return the name of every image's group; an image is one of its own without --group."""
    for option, value in (("--split", addition.split), ("--group", addition.group)):
        if value is not None and collection.splits:
            raise UsageError(f"{addition.source} has splits of its own, which are kept: leave out {option}.")
    if addition.group is None:
        return collection.names
    pattern = re.compile(addition.group)
    matches = [pattern.search(name) for name in collection.names]
    groups = [match and (match[1] if pattern.groups else match[0]) for match in matches]
    named = [group for group in groups if group]
    if len(named) < len(groups):
        bare = [name for name, group in zip(collection.names, groups, strict=True) if not group]
        raise UsageError(
            f"--group finds nothing in {several(len(bare), 'name')} of {len(groups):,} ({first(bare)}): write a "
            "pattern that fits them all."
        )
    return named


def _usable(collection: Collection, seen: Survey, addition: Addition, how: Packing) -> list[int]:
    if seen.broken and not addition.skip_broken:
        seen.refuse_broken(str(addition.source))
    if seen.broken:
        how.say(f"Warning: left out {several(len(seen.broken), 'image')} that cannot be used:")
        for line in seen.listed():
            how.say(line)
    same = twins(seen.digests) if addition.drop_duplicates else []
    drop = superfluous(same, collection.splits)
    if drop:
        how.say(f"left out {several(len(drop), 'image')} of the same pixels as another one")
    if unsure := torn(collection, same):
        how.say(
            f"Warning: of images with more than one class one was kept, {several(len(unsure), 'time')}: "
            f"{first(unsure)}; correct the labels."
        )
    if not seen.digests:
        raise DataError(f"{addition.source} has no image that can be used: check what --from names.")
    return [i for i in seen.digests if i not in drop]


def _told(addition: Addition, groups: int) -> str:
    grouped = f", {several(groups, 'group')} kept whole" if addition.group else ""
    return f"split {addition.split or DEFAULT} within every class, seed {addition.seed}{grouped}"
