"""A folder written by `save_to_disk` of Hugging Face's `datasets`: one data set, or several as splits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decathlon.data_prep.custom.collection import SPLIT_NAMES, Collection, Example, are_splits, collect
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError, UsageError
from decathlon.system.text import several

MARKS = ("dataset_dict.json", "dataset_info.json", "state.json")


def is_huggingface(folder: Path) -> bool:
    """Say whether `save_to_disk` wrote this folder."""
    return any((folder / mark).is_file() for mark in MARKS)


def read_huggingface(folder: Path) -> Collection:
    """Read a saved data set with one image column and one column of classes.

    Images are named by split and number. Raises UsageError if the package is missing, DataError for other columns
    and unknown splits.
    """
    try:
        import datasets
    except ImportError:
        raise UsageError(
            f"{folder} is a Hugging Face data set. To read it run: pip install 'visual-decathlon[datasets]'"
        ) from None
    try:
        saved = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is not a complete Hugging Face data set ({error}). Save it again.") from None
    splits = saved if isinstance(saved, Mapping) else {"": saved}
    examples: list[Example] = []
    found: dict[str, tuple[Any, int, str]] = {}
    for name, part in splits.items():
        if name and name.lower() not in SPLIT_NAMES:
            raise DataError(f"{folder} has a split '{name}', not train, val or test. Rename or drop it.")
        split = SPLIT_NAMES[name.lower()] if name else None
        if not split and "split" in part.features and are_splits(map(str, part["split"])):
            raise DataError(
                f"{folder}: its column 'split' holds splits. Save a DatasetDict with one data set each."
            )
        image = _column(datasets.Image, part, folder)
        labels = _labels(datasets.ClassLabel, part, folder, may_lack=split == "test")
        part = part.cast_column(image, datasets.Image(decode=False))
        digits = len(str(len(part)))
        for i, label in enumerate(labels):
            called = f"{name or 'image'}/{i:0{digits}d}"
            examples.append(Example(called, label, split))
            found[called] = part, i, image
    kind = f"a Hugging Face data set with {', '.join(splits)}" if isinstance(saved, Mapping) else ""
    return collect(kind or "a Hugging Face data set", examples, lambda called: _picture(called, *found[called]))


def _column(kind: type, part: Any, folder: Path) -> str:
    """Return the one column of that kind."""
    names = [str(name) for name, feature in part.features.items() if isinstance(feature, kind)]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise DataError(
            f"{folder} must have one {kind.__name__} column and has {found}. Remove others with remove_columns, or "
            f"make one with cast_column."
        )
    return names[0]


def _labels(kind: type, part: Any, folder: Path, may_lack: bool) -> list[str] | list[None]:
    """Return the class of every image, or None for all where they may lack one.

    A column `label` may hold the names themselves.
    """
    classes = any(isinstance(feature, kind) for feature in part.features.values())
    if not classes and "label" not in part.features and may_lack:
        return [None] * len(part)
    if not classes and "label" in part.features:
        values = list(part["label"])
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise DataError(f"{folder}: its column 'label' must hold ClassLabel or class names. Cast it.")
        return values
    column = _column(kind, part, folder)
    names = part.features[column].names
    positions = list(part[column])
    unlabelled = sum(position is None or position < 0 for position in positions)
    if may_lack and unlabelled == len(positions):
        return [None] * unlabelled
    if unlabelled:
        raise DataError(
            f"{folder}: {unlabelled:,} of {several(len(positions), 'image')} without a class. Drop their split, or "
            "filter them out."
        )
    return [names[position] for position in positions]


def _picture(called: str, part: Any, i: int, column: str) -> Picture:
    value = part[i][column] or {"bytes": None, "path": None}
    return Picture(called, data=value["bytes"]) if value["bytes"] else Picture(called, value["path"] or "")
