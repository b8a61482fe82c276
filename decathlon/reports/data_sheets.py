"""The pictures of a packed file, written to a new folder, and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from decathlon.config.recipe import Recipe
from decathlon.data.domains import SPLITS, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.reports.figures.class_histogram import draw_classes
from decathlon.reports.figures.domain_images import Channels, Seen, View, augmented, contact
from decathlon.reports.tables import Column, Row, Table
from decathlon.system.files import appearing

PART_CUT = 4  # of as many stored images one is shown in cuts
# Normalised by its own statistics a sample has mean 0 and deviation 1, but for its smallness and for the crop.
FAR_MEAN, FAR_STD = 0.5, 2.0


@dataclass(frozen=True)
class Look:
    """What to show: at most `images` a sheet, drawn by `seed`, cut as `recipe` does."""

    splits: tuple[str, ...] = SPLITS
    images: int = 48
    seed: int = 0
    recipe: Recipe = Recipe()


@dataclass(frozen=True)
class Shown:
    """What was written for a domain: how many of a split's images were shown, and what the network saw."""

    domain: Domain
    counts: dict[str, tuple[int, int]]
    mean: Channels
    std: Channels
    files: int

    @property
    def far(self) -> bool:
        """Whether the normalised images are far from mean 0 and deviation 1."""
        return any(abs(mean) > FAR_MEAN for mean in self.mean) or not all(
            1 / FAR_STD < std < FAR_STD for std in self.std
        )


def look(
    packed: PackedFile,
    names: Sequence[str],
    folder: Path,
    options: Look,
    progress: Callable[[str], None] = lambda domain: None,
) -> list[Shown]:
    """Write the pictures of the named domains, by default of all, to the new `folder`.

    `<domain>-<split>.png` are contact sheets, `<domain>-augmented.png` shows what training sees and
    `<domain>-classes.png` how many images a class has; the same file, options and library versions give the same
    bytes. Raises UsageError for an unknown domain or where `folder` exists, DataError where a domain has none of
    the splits.
    """
    domains = [packed.benchmark[name] for name in dict.fromkeys(names or packed.benchmark.names)]
    for domain in domains:
        if not set(options.splits) & set(packed.splits(domain.name)):
            wanted = " or ".join(options.splits)
            raise DataError(f"{packed.path} has no {wanted} split of {domain.name}: choose another --split.")
    shown = []
    with appearing(folder) as root:
        for domain in domains:
            progress(domain.name)
            shown.append(_domain(packed, domain, root, options))
    return shown


def _domain(packed: PackedFile, domain: Domain, root: Path, options: Look) -> Shown:
    there = packed.splits(domain.name)
    labels = {split: packed.column(domain.name, split, "label") for split in there}
    views = [View(packed, domain, split, labels[split], options.seed) for split in options.splits if split in there]
    pictures = {view.split: contact(view, options.images) for view in views}
    seen: Seen = augmented(views[0], max(1, options.images // PART_CUT), options.recipe)
    pictures["augmented"] = seen.sheet
    if (classes := draw_classes(domain, labels)) is not None:
        pictures["classes"] = classes
    for name, picture in pictures.items():
        (root / f"{domain.name}-{name}.png").write_bytes(picture)
    counts = {view.split: (min(options.images, len(view.labels)), len(view.labels)) for view in views}
    return Shown(domain, counts, seen.mean, seen.std, len(pictures))


def look_table(shown: Sequence[Shown], folder: Path) -> tuple[Table, list[str]]:
    """Return a table with a row a domain, and notes on it."""
    columns = (
        Column("domain", "domain"),
        Column("classes", "classes", 0),
        *(Column(split, f"{split} shown") for split in SPLITS),
        Column("mean", "mean seen"),
        Column("std", "deviation seen"),
        Column("pictures", "pictures", 0),
    )
    title = f"{sum(entry.files for entry in shown)} pictures in {folder}"
    notes = ["Seen: what training makes of some images, normalised; in R G B, about 0 and 1 are right."]
    notes += [
        f"Warning: {entry.domain.name} does not look normalised by its own statistics: "
        "see 'decathlon data stats FILE.h5'."
        for entry in shown
        if entry.far
    ]
    return Table(title, columns, tuple(map(_row, shown))), notes


def _row(entry: Shown) -> Row:
    counts = (entry.counts.get(split) for split in SPLITS)
    return (
        entry.domain.name,
        len(entry.domain.categories),
        *(f"{count[0]:,} of {count[1]:,}" if count else None for count in counts),
        " ".join(f"{value:z.2f}" for value in entry.mean),
        " ".join(f"{value:z.2f}" for value in entry.std),
        entry.files,
    )
