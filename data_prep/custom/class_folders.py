"""A tree of class folders, as read by torchvision's ImageFolder, optionally below train, val and test."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from decathlon.data.domains import SPLITS
from decathlon.data_prep.custom.collection import SPLIT_NAMES, Collection, Example, collect, first
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from decathlon.system.text import several

OTHERS = (".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd")  # also images: unusable, but not left out
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision


def read_folder(root: Path) -> Collection:
    """Read the images of a tree; the class is the folder below the root, or below train, val and test.

    Raises DataError without class folders, or for images directly in a split.
    """
    tops = _folders(root)
    given = bool(tops) and all(name.lower() in SPLIT_NAMES for name in tops)
    starts = [(f"{name}/", SPLIT_NAMES[name.lower()]) for name in tops] if given else [("", None)]
    files = [(name, inside, split) for inside, split in starts for name in _walk(f"{root}/{inside}", inside)]
    images = [entry for entry in files if _is_image(entry[0])]
    depth = 2 if given else 1
    inner = [entry for entry in images if entry[0].count("/") >= depth]
    if not inner:
        raise DataError(_no_classes(root, len(images), given))
    loose = [name for name, _, _ in images if name.count("/") < depth]
    if given and loose:
        raise DataError(
            f"{root}/{loose[0]} is in a split but in no class folder. Move it into one, or out of the split."
        )
    examples = [Example(name, name.split("/")[depth - 1], split) for name, _, split in inner]
    classes = {name for inside, _ in starts for name in _folders(root / inside)}
    notes = [*_left_out(files, loose), *_nested(root, examples, depth)]
    names = ", ".join(split for split in SPLITS if split in dict(starts).values())
    kind = f"an ImageFolder tree with {names}" if given else "an ImageFolder tree"
    return collect(kind, examples, lambda name: Picture(name, f"{root}/{name}"), notes, classes)


def _walk(folder: str, inside: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield the files below a folder, named from the root; links are followed, but never in a circle."""
    place = os.stat(folder)
    here = place.st_dev, place.st_ino
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if _hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, f"{inside}{entry.name}/", above | {here})
            else:
                yield inside + entry.name


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not _hidden(entry.name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS + OTHERS)


def _no_classes(root: Path, images: int, given: bool) -> str:
    if given:
        return f"{root} has splits without class folders. Put the images into <split>/<class>/."
    if images:
        return (
            f"{root} has {several(images, 'image')} and no class folders. Put each class into a folder, or pass a "
            "CSV file path,label."
        )
    return f"{root} has no images. Pass a folder of class folders, a CSV file or a COCO annotation file."


def _left_out(files: Iterable[tuple[str, str, str | None]], loose: list[str]) -> Iterator[str]:
    others = Counter(os.path.splitext(name)[1] or "no extension" for name, _, _ in files if not _is_image(name))
    if others:
        yield f"left out {several(others.total(), 'file')} of other kinds: {first(others)}"
    if loose:
        yield f"left out {several(len(loose), 'image')} beside the class folders: {first(loose)}"


def _nested(root: Path, examples: list[Example], depth: int) -> Iterator[str]:
    """Note that a single class may be a folder of classes."""
    if len({example.label for example in examples}) > 1:
        return
    yield f"Warning: there is only one class, {examples[0].label}"
    inner = {example.name.split("/")[depth] for example in examples if example.name.count("/") > depth}
    if len(inner) > 1:
        yield f"if the folders in it are the classes ({first(inner)}), pass {root / examples[0].label} instead"
    tables = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".csv", ".json"))
    if tables:
        yield f"if {tables[0]} lists the classes, pass {root / tables[0]} instead"
