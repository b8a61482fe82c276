"""Sheets of a packed file's images, written to a new folder, and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from decathlon.config.recipe import Recipe
from decathlon.data.domains import SPLITS, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.reports.figures.class_histogram import draw_classes
from decathlon.reports.figures.domain_images import Channels, View, augmented, contact
from decathlon.reports.tables import Column, Row, Table
from decathlon.system.files import appearing

AUGMENTED = 4  # one of this many stored images is also shown augmented
# Normalised by its own statistics a sample has about mean 0 and deviation 1: it is small, and cropped.
FAR_MEAN, FAR_STD = 0.5, 2.0


@dataclass(frozen=True)
class SheetOptions:
    """Show at most `images` per sheet, drawn by `seed`, cropped as in `recipe`."""

    splits: tuple[str, ...] = SPLITS
    images: int = 48
    seed: int = 0
    recipe: Recipe = Recipe()


@dataclass(frozen=True)
class DomainSheets:
    """The sheets written for a domain: images shown and present by split, and statistics of the network's input."""

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


def write_sheets(
    packed: PackedFile,
    names: Sequence[str],
    folder: Path,
    options: SheetOptions,
    progress: Callable[[str], None] = lambda domain: None,
) -> list[DomainSheets]:
    """Write the sheets of the named domains, by default of all, to the new `folder`.

    `<domain>-<split>.png` are contact sheets, `<domain>-augmented.png` shows images as training sees them and
    `<domain>-classes.png` the number of images per class; the same file, options and library versions give the same
    bytes. Raises UsageError for an unknown domain or an existing `folder`, DataError when a domain has none of the
    splits.
    """
    domains = [packed.benchmark[name] for name in dict.fromkeys(names or packed.benchmark.names)]
    for domain in domains:
        if not set(options.splits) & set(packed.splits(domain.name)):
            wanted = " or ".join(options.splits)
            raise DataError(f"{packed.path} has no {wanted} split of {domain.name}. Choose another --split.")
    written = []
    with appearing(folder) as root:
        for domain in domains:
            progress(domain.name)
            written.append(_write_domain(packed, domain, root, options))
    return written


def _write_domain(packed: PackedFile, domain: Domain, root: Path, options: SheetOptions) -> DomainSheets:
    present = packed.splits(domain.name)
    labels = {split: packed.column(domain.name, split, "label") for split in present}
    views = [
        View(packed, domain, split, labels[split], options.seed) for split in options.splits if split in present
    ]
    pictures = {view.split: contact(view, options.images) for view in views}
    seen = augmented(views[0], max(1, options.images // AUGMENTED), options.recipe)
    pictures["augmented"] = seen.sheet
    if (classes := draw_classes(domain, labels)) is not None:
        pictures["classes"] = classes
    for name, picture in pictures.items():
        (root / f"{domain.name}-{name}.png").write_bytes(picture)
    counts = {view.split: (min(options.images, len(view.labels)), len(view.labels)) for view in views}
    return DomainSheets(domain, counts, seen.mean, seen.std, len(pictures))


def sheets_table(written: Sequence[DomainSheets], folder: Path) -> tuple[Table, list[str]]:
    """Return a table with one row per domain, and notes on it."""
    columns = (
        Column("domain", "domain"),
        Column("classes", "classes", 0),
        *(Column(split, f"{split} shown") for split in SPLITS),
        Column("mean", "mean seen"),
        Column("std", "deviation seen"),
        Column("pictures", "pictures", 0),
    )
    title = f"{sum(entry.files for entry in written)} pictures in {folder}"
    notes = ["Seen: some images as training normalises them, in R G B; about 0 and 1 are right."]
    notes += [
        f"Warning: {entry.domain.name} does not look normalised by its own statistics. "
        "See 'decathlon data stats FILE.h5'."
        for entry in written
        if entry.far
    ]
    return Table(title, columns, tuple(map(_row, written))), notes


def _row(entry: DomainSheets) -> Row:
    counts = (entry.counts.get(split) for split in SPLITS)
    return (
        entry.domain.name,
        len(entry.domain.categories),
        *(f"{count[0]:,} of {count[1]:,}" if count else None for count in counts),
        " ".join(f"{value:z.2f}" for value in entry.mean),
        " ".join(f"{value:z.2f}" for value in entry.std),
        entry.files,
    )
