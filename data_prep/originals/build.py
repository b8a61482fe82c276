"""Build one of the ten domains from its original data set, split as the challenge did, as far as that is known.

The challenge numbered its images in random order and never published which image of the original is which. The
images therefore get ids that no official image has: predictions for a built domain can be scored against the test
labels written with it, and are refused, not scored wrongly, against the released ones.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from decathlon.data.domains import SPLITS, Category
from decathlon.data.ground_truth import SUFFIX, truth_folder
from decathlon.data.official import OFFICIAL, is_official
from decathlon.data_prep.originals import domains
from decathlon.data_prep.originals.original import (
    ClassCounts,
    Examples,
    Original,
    check_counts,
    draw,
    read_counts,
    shares,
)
from decathlon.data_prep.packing.extend import extend, refuse_there
from decathlon.data_prep.packing.pipeline import PackOptions, Prepared
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit, hiding_test_labels
from decathlon.data_prep.sources.coco_json import ID_STEP
from decathlon.data_prep.sources.file_tree import open_tree
from decathlon.errors import DataError, unknown

FIRST_ID = 5_000_000  # above the official ids of every domain, which end below 1.6 million


def build(
    name: str, sources: Sequence[Path], output: Path, options: PackOptions, annotations: Path | None = None,
    truth: Path | None = None, force: bool = False,
) -> tuple[Prepared, Path]:  # fmt: skip
    """Add one of the ten domains to the packed file `output`; return what was packed and the test labels' file.

    `sources` hold its original, `annotations` the official ones, as folder or archive; `truth` is the folder for
    the test labels, None for the one beside `output`. Raises DataError if the original is incomplete or wrong,
    UsageError if something would be overwritten without `force`, and whatever `extend` raises.
    """
    original = find(name)
    truth_file = (truth or truth_folder(output)) / f"{name}{SUFFIX}"
    refuse_there(output, [name], force, truth_file)
    domain, lines = plan(name, original.read(open_tree(sources, original.LAYOUT)), annotations)
    for line in lines:
        options.say(line)
    with hiding_test_labels(domain, output, truth_file) as hidden:
        return extend(output, [hidden], options, force), truth_file


def names() -> list[str]:
    """Return the domains that can be built, one per file in `originals/domains/`."""
    return sorted(entry.name.replace("_", "-") for entry in pkgutil.iter_modules(domains.__path__))


def find(name: str) -> ModuleType:
    """Return the module in `originals/domains/` for a domain; raises UsageError with the nearest name."""
    if name not in names():
        raise unknown("domain", name, names())
    return importlib.import_module(f"decathlon.data_prep.originals.domains.{name.replace('-', '_')}")


def plan(name: str, original: Original, annotations: Path | None = None) -> tuple[PlannedDomain, list[str]]:
    """Return the domain with all its labels, and notes for the user about differences from the challenge.

    `annotations` is a folder or archive of the official ones; their number of images per class is then drawn.
    Raises DataError if they contradict the original.
    """
    index = OFFICIAL[name].index
    ids = (index * ID_STEP + rank for rank in range(1, len(original.names) + 1))
    categories = tuple(Category(*pair) for pair in zip(ids, original.names, strict=True))
    counts = None if annotations is None else read_counts(annotations, name, categories)
    splits = _split(name, original, counts)
    if counts is not None:
        check_counts(counts, {split: examples.labels for split, examples in splits.items()}, categories)
    planned, next_id = {}, index * ID_STEP + FIRST_ID + 1
    for split, examples in splits.items():
        if len(examples):
            image_ids = np.arange(next_id, next_id + len(examples), dtype=np.int64)
            planned[split] = PlannedSplit(examples.origin, image_ids, examples.labels, examples.picture)
            next_id += len(examples)
    for split in ("train", "test"):
        if split not in planned:
            raise DataError(f"{name}: the original has too few images for a {split} split. Complete it.")
    domain = PlannedDomain(name, index, categories, planned)
    return domain, [*_notes(original, counts), *_warnings(domain)]


def _split(name: str, original: Original, counts: ClassCounts | None) -> dict[str, Examples]:
    """Return the original's own splits; missing ones are drawn from its training images.

    They get the number of images per class of the official annotations, else the official total in proportion.
    """
    official, classes = OFFICIAL[name], len(original.names)
    found = {"train": original.train, "val": original.val, "test": original.test}
    missing = [split for split in ("test", "val") if found[split] is None]
    whole = official.train + sum(official.count(split) for split in missing)
    size = len(original.train)
    for split in missing:
        pool = found["train"]
        assert pool is not None
        number = round(size * official.count(split) / whole)  # the official number if the original is complete
        wanted = shares(pool.labels, classes, number) if counts is None else counts.of(split, pool.labels)
        found["train"], found[split] = draw(pool, wanted, official.index, SPLITS.index(split))
    return {split: examples for split in SPLITS if (examples := found[split]) is not None}


def _notes(original: Original, counts: ClassCounts | None) -> list[str]:
    """Return notes about splits that differ from the challenge's."""
    drawn = [split for split in ("val", "test") if getattr(original, split) is None]
    notes = list(original.notes)
    if drawn:
        way = "in proportion to the classes" if counts is None else "with the official number per class"
        notes.append(
            f"it is not known which images the challenge took for {' and '.join(drawn)}: they are drawn from the "
            f"training images, {way}, the same ones every time."
        )
    notes.append("the released test labels have other image ids: score with the labels that --truth writes.")
    return [f"Note: {note}" for note in notes]


def _warnings(domain: PlannedDomain) -> list[str]:
    official = OFFICIAL[domain.name]
    if is_official(domain.name, len(domain.categories), domain.counts.get("test")):
        return []  # packing warns about the other splits
    numbers = [("classes", len(domain.categories), official.classes)]
    numbers += [(split, domain.counts.get(split, 0), official.count(split)) for split in SPLITS]
    differences = ", ".join(
        f"{own:,} {what} instead of {published:,}" for what, own, published in numbers if own != published
    )
    return [
        f"Warning: this is not the official {domain.name} ({differences}): its statistics are measured, and it has "
        "no baseline error."
    ]
