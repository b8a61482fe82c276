"""The labelled images of one data set, in any format."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.custom.class_names import class_name, doubts
from decathlon.data_prep.packing.plan import refuse_other_classes
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.text import first, several

_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = {name: split for split, names in _NAMES.items() for name in names}
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; names on disk that are not UTF-8


@dataclass(frozen=True, slots=True)
class Example:
    """One image: its name in the data set, its class, and its split if the data set has splits.

    The class is None for test images to be predicted.
    """

    name: str
    label: str | None
    split: str | None = None


@dataclass(frozen=True)
class Collection:
    """A data set's images, sorted by name as strings.

    `kind` is its recognised format. `classes` are sorted as strings; a label is a position in them, -1 for a test
    image without a class. `picture(i)` is image i. `splits` are those of the images, None if the data set has none.
    `notes` tell what was left out.
    """

    kind: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    picture: Callable[[int], Picture]
    splits: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def collect(
    kind: str,
    examples: Sequence[Example],
    picture: Callable[[str], Picture],
    notes: Sequence[str] = (),
    classes: Iterable[str] = (),
) -> Collection:
    """Return examples as a collection; `picture(name)` finds an image, `classes` may name some without images.

    Raises DataError without images, for duplicate names, for names that cannot be written to a file, and for splits
    that nothing can be learned for.
    """
    if not examples:
        raise DataError(f"{kind} without images cannot be added. Check the path of --from.")
    examples = sorted((_plain(example) for example in examples), key=lambda example: example.name)
    _refuse_unfit(examples)
    _refuse_splits(examples)
    names = tuple(example.name for example in examples)
    counts = Counter(example.label for example in examples if example.label is not None)
    if not counts:
        raise DataError(f"{kind} without classes cannot be added. Give every train image a class.")
    found = sorted(counts)
    position: dict[str | None, int] = {name: label for label, name in enumerate(found)}
    labels = np.array([position.get(example.label, -1) for example in examples], np.int32)
    splits = tuple(example.split for example in examples if example.split)
    empty = {class_name(name) for name in classes} - set(found)
    notes = (*notes, *_class_notes(found, empty), *doubts(counts), *_lost_splits(names, splits))
    if bare := int((labels < 0).sum()):
        notes = (*notes, f"{several(bare, 'test image')} without a class: they can be predicted, not scored")
    return Collection(kind, tuple(found), names, labels, lambda i: picture(names[i]), splits or None, notes)


def _plain(example: Example) -> Example:
    label = example.label if example.label is None else class_name(example.label)
    return example if label == example.label else replace(example, label=label)


def _refuse_unfit(examples: Sequence[Example]) -> None:
    for one, two in zip(examples, examples[1:], strict=False):
        if one.name == two.name:
            raise DataError(f"duplicate image {one.name}. Keep one label for it.")
    for example in examples:
        if example.label == "" or _UNFIT.search(example.name + (example.label or "")):
            raise DataError(f"{ascii(example.name)} or its class has unprintable characters. Rename it.")


def _refuse_splits(examples: Sequence[Example]) -> None:
    """Raise DataError for a test split with some labels, for splits of other classes, and for splits as classes."""
    classes: dict[str | None, set[str]] = defaultdict(set)
    for split, label in {(example.split, example.label) for example in examples}:
        classes[split].update(() if label is None else (label,))
    bare = [example.name for example in examples if example.label is None]
    if bare and classes["test"]:
        raise DataError(
            f"{several(len(bare), 'test image')} without a class, beside others with one ({first(bare)}). Give all "
            "of them a class or none."
        )
    refuse_other_classes("", {split: found for split, found in classes.items() if split})
    if are_splits(classes[None]):
        raise DataError(f"the classes are called {first(classes[None])}, like splits. Name what the images show.")


def are_splits(names: Iterable[str]) -> bool:
    """Say whether names are those of several splits and nothing else."""
    found = {SPLIT_NAMES.get(name.strip().lower()) for name in names}
    return len(found) > 1 and None not in found


def _lost_splits(names: Iterable[str], splits: Sequence[str]) -> Iterator[str]:
    """Warn of images that lie in folders of splits, which are not kept."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    if not splits and are_splits(tops):
        yield f"Warning: the images lie in {first(tops)}, but are split anew; a CSV column 'split' keeps splits"


def _class_notes(classes: list[str], empty: set[str]) -> Iterator[str]:
    """Yield notes about classes without images, and the order of classes that people would sort as numbers."""
    if empty:
        yield f"Warning: left out {several(len(empty), 'class', 'classes')} without images: {first(empty)}"
    natural = sorted(classes, key=lambda name: [(len(run), run) for run in re.findall(r"\d+|\D+", name)])
    if natural != classes and all(any(character.isdigit() for character in name) for name in classes):
        yield f"classes are sorted by name as text, like the official ones: {first(classes, sort=False)}"
