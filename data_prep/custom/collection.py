"""The labelled images of one data set, in any format."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.text import several

_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = {name: split for split, names in _NAMES.items() for name in names}
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; names on disk that are not UTF-8


@dataclass(frozen=True, slots=True)
class Example:
    """One image: its name in the data set, its class, and its split if the data set has splits."""

    name: str
    label: str
    split: str | None = None


@dataclass(frozen=True)
class Collection:
    """A data set's images, sorted by name as strings.

    `kind` is its recognised format. `classes` are sorted as strings; a label is a position in them. `picture(i)` is
    image i. `splits` are those of the images, None if the data set has none. `notes` tell what was left out.
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

    Raises DataError without images, for duplicate names, and for names that cannot be written to a file.
    """
    if not examples:
        raise DataError(f"{kind} without images cannot be added. Check the path of --from.")
    examples = sorted(examples, key=lambda example: example.name)
    _refuse_unfit(examples)
    names = tuple(example.name for example in examples)
    found = sorted({example.label for example in examples})
    position = {name: label for label, name in enumerate(found)}
    labels = np.array([position[example.label] for example in examples], np.int32)
    splits = tuple(example.split for example in examples if example.split)
    notes = (*notes, *_class_notes(found, set(classes) - set(found)))
    return Collection(kind, tuple(found), names, labels, lambda i: picture(names[i]), splits or None, notes)


def _refuse_unfit(examples: Sequence[Example]) -> None:
    for one, two in zip(examples, examples[1:], strict=False):
        if one.name == two.name:
            raise DataError(f"duplicate image {one.name}. Keep one label for it.")
    for example in examples:
        if _UNFIT.search(example.name + example.label):
            raise DataError(f"{ascii(example.name)} or its class has unprintable characters. Rename it.")


def _class_notes(classes: list[str], empty: set[str]) -> Iterator[str]:
    """Yield notes about classes without images, and the order of classes that people would sort as numbers."""
    if empty:
        yield f"left out {several(len(empty), 'class', 'classes')} without images: {first(empty)}"
    natural = sorted(classes, key=lambda name: [(len(run), run) for run in re.findall(r"\d+|\D+", name)])
    if natural != classes and all(any(character.isdigit() for character in name) for name in classes):
        yield f"classes are sorted by name as text, like the official ones: {first(classes, sort=False)}"


def first(names: Iterable[str], number: int = 3, sort: bool = True) -> str:
    """Return the first few names, with dots if there are more."""
    listed = sorted(names) if sort else list(names)
    return ", ".join(listed[:number]) + (", …" if len(listed) > number else "")
