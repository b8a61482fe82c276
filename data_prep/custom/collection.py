"""Labelled images of one data set, whatever form they were kept in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.text import several

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
SPLIT_WORDS |= {"test": "test", "testing": "test"}
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; what is no UTF-8 on the disk


@dataclass(frozen=True, slots=True)
class Example:
    """One image: its name in the data set, its class, and its split where the data set has splits."""

    name: str
    label: str
    split: str | None = None


@dataclass(frozen=True)
class Collection:
    """A data set's images in the order of their names as strings, whatever their order was.

    `kind` says what it was recognised as. `classes` are sorted as strings, a label is a position in them.
    `picture(i)` is image i. `splits` are those of the images, None when the data set has none. `notes` say what was
    left out.
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

    Raises DataError when there are none, a name stands twice, or one cannot be written into a file.
    """
    if not examples:
        raise DataError(f"{kind} without images is no data set: check what --from names.")
    examples = sorted(examples, key=lambda example: example.name)
    _refuse_unfit(examples)
    names = tuple(example.name for example in examples)
    found = sorted({example.label for example in examples})
    position = {name: label for label, name in enumerate(found)}
    labels = np.array([position[example.label] for example in examples], np.int32)
    splits = tuple(example.split for example in examples if example.split)
    told = [*notes, *_empty(set(classes) - set(found)), *_as_numbers(found)]
    return Collection(kind, tuple(found), names, labels, lambda i: picture(names[i]), splits or None, tuple(told))


def _refuse_unfit(examples: Sequence[Example]) -> None:
    for one, two in zip(examples, examples[1:], strict=False):
        if one.name == two.name:
            raise DataError(f"image {one.name} is named twice: leave it one label.")
    for example in examples:
        if _UNFIT.search(example.name + example.label):
            raise DataError(f"{ascii(example.name)} or its class holds characters that are no text: rename it.")


def _empty(classes: set[str]) -> list[str]:
    if not classes:
        return []
    return [f"left out {several(len(classes), 'class', 'classes')} without images: {first(classes)}"]


def _as_numbers(classes: list[str]) -> list[str]:
    """Say in which order classes are that people would count."""
    natural = sorted(classes, key=lambda name: [(len(run), run) for run in re.findall(r"\d+|\D+", name)])
    numbered = all(any(character.isdigit() for character in name) for name in classes)
    if not numbered or natural == classes:
        return []
    return [
        f"classes are in the order of their names as text, as the official ones are: {first(classes, sort=False)}"
    ]


def first(names: Iterable[str], number: int = 3, sort: bool = True) -> str:
    """Return the first few names, and dots when there are more."""
    told = sorted(names) if sort else list(names)
    return ", ".join(told[:number]) + (", …" if len(told) > number else "")
