"""Sheets of a packed file's images, written to a new folder, and a table of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from decathlon.config.recipe import Recipe
from decathlon.data.domains import SPLITS, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.reports.figures.class_histogram import draw_classes
from decathlon.reports.figures.domain_images import AugmentedSheet, View, augmented, contact
from decathlon.reports.figures.lettering import letter_notes
from decathlon.reports.tables import Column, Row, Table
from decathlon.system.files import appearing

AUGMENTED = 4  # one of this many stored images is also shown augmented
# Normalised by its own statistics a sample has about mean 0 and deviation 1: it is small, and cropped.
FAR_MEAN, FAR_STD = 0.5, 2.0
COLUMNS = (
    Column("domain", "domain"),
    Column("classes", "classes", 0),
    *(Column(split, f"{split} shown") for split in SPLITS),
    Column("mean", "mean seen"),
    Column("std", "deviation seen"),
    Column("pictures", "pictures", 0),
)


@dataclass(frozen=True)
class SheetOptions:
    """Show at most `images` per sheet, drawn by `seed`, cropped as in `recipe`."""

    splits: tuple[str, ...] = SPLITS
    images: int = 48
    seed: int = 0
    recipe: Recipe = Recipe()


def write_sheets(
    packed: PackedFile, names: Sequence[str], folder: Path, options: SheetOptions, progress: Callable[[str], None]
) -> tuple[Table, list[str]]:
    """Write the sheets of the named domains, by default of all, to the new `folder`; return a table and notes.

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
    notes = letter_notes(domain.name for domain in domains)
    notes += ["Seen: some images as training normalises them, in R G B; about 0 and 1 are right."]
    rows = []
    with appearing(folder) as root:
        for domain in domains:
            progress(domain.name)
            row, seen = _write_domain(packed, domain, root, options)
            rows.append(row)
            if max(map(abs, seen.mean)) > FAR_MEAN or max(seen.std) >= FAR_STD or min(seen.std) <= 1 / FAR_STD:
                hint = "See 'decathlon data stats FILE.h5'."
                notes.append(f"Warning: {domain.name} does not look normalised by its own statistics. {hint}")
        pictures = len(list(root.iterdir()))
    return Table(f"{pictures} pictures in {folder}", COLUMNS, tuple(rows)), notes


def _write_domain(
    packed: PackedFile, domain: Domain, root: Path, options: SheetOptions
) -> tuple[Row, AugmentedSheet]:
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
    counts = {view.split: len(view.labels) for view in views}
    shown = (f"{min(options.images, counts[s]):,} of {counts[s]:,}" if s in counts else None for s in SPLITS)
    statistics = (" ".join(f"{value:z.2f}" for value in values) for values in (seen.mean, seen.std))
    return (domain.name, len(domain.categories), *shown, *statistics, len(pictures)), seen
