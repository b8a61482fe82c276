"""A tree of class folders, as read by torchvision's ImageFolder, optionally below train, val and test."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from decathlon.data.domains import SPLITS
from decathlon.data_prep.custom.collection import Collection, Example, collect
from decathlon.data_prep.custom.find_splits import find_splits
from decathlon.data_prep.sources.image_ref import Picture, plain
from decathlon.errors import DataError
from decathlon.system.text import first, several

# also images: unusable, but named and not left out
OTHERS = (
    ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".ico", ".tga", ".dcm", ".dng", ".cr2",
    ".nef", ".arw",
)  # fmt: skip
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".tif", ".tiff",
    ".webp",
)  # fmt: skip


def read_folder(root: Path) -> Collection:
    """Read the images of a tree; the class is the folder below the root, or below train, val and test.

    Images directly in test have no class. Raises DataError without class folders, for images directly in train or
    val, and for folders that may be splits or classes.
    """
    files = list(_walk(str(root), ""))
    images = [name for name in files if _is_image(name)]
    layout = find_splits(root, images, _folders(root))
    inner: list[Example] = []
    loose: list[Example] = []
    for start, split in layout.starts.items():
        for name in images:
            if name.startswith(start):
                folder, slash, _ = name[len(start) :].partition("/")
                (inner if slash else loose).append(Example(name, folder if slash else None, split))
    if not inner:
        raise DataError(_no_classes(root, len(images), layout.given))
    if layout.given:
        inner += _unlabelled(root, inner, loose)
        loose = []
    classes = {name for start in layout.starts for name in _folders(root / start)}
    notes = [*layout.notes, *_left_out(files, loose), *_nested(root, inner, layout.given)]
    names = ", ".join(split for split in SPLITS if split in layout.starts.values())
    kind = f"an ImageFolder tree with {names}" if layout.given else "an ImageFolder tree"
    places = _places(example.name for example in inner)
    examples = [replace(example, name=name) for name, example in zip(places, inner, strict=True)]
    return collect(kind, examples, lambda name: Picture(name, f"{root}/{places[name]}"), notes, classes)


def _unlabelled(root: Path, inner: Sequence[Example], loose: Sequence[Example]) -> Sequence[Example]:
    """Return the images directly in test, if all of its images lie there; raises DataError for other loose ones."""
    labelled = {example.split for example in inner}
    wrong = next((example for example in loose if example.split != "test" or "test" in labelled), None)
    if wrong is not None:
        raise DataError(
            f"{root}/{wrong.name} is in a split but in no class folder. Move it into one, or out of the split."
        )
    return loose


def _places(names: Iterable[str]) -> dict[str, str]:
    """Return the names on the disk by those in composed letters, which are the same on every machine."""
    places: dict[str, str] = {}
    for name in (there := dict.fromkeys(names)):
        composed = plain(name)
        taken = composed in places or (composed != name and composed in there)
        places[name if taken else composed] = name
    return places


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


def _left_out(files: Iterable[str], loose: Sequence[Example]) -> Iterator[str]:
    others = Counter(os.path.splitext(name)[1] or "no extension" for name in files if not _is_image(name))
    if others:
        yield f"left out {several(others.total(), 'file')} of other kinds: {first(others)}"
    if loose:
        yield f"left out {several(len(loose), 'image')} beside the class folders: {first(e.name for e in loose)}"


def _nested(root: Path, examples: Sequence[Example], given: bool) -> Iterator[str]:
    """Note that a single class may be a folder of classes."""
    labels = {example.label for example in examples} - {None}
    if len(labels) > 1:
        return
    (label,) = labels
    yield f"Warning: there is only one class, {label}"
    inner = {example.name.split("/")[1] for example in examples if example.name.count("/") > 1}
    if len(inner) > 1 and not given:
        yield f"if the folders in it are the classes ({first(inner)}), pass {root / str(label)} instead"
    tables = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".csv", ".json"))
    if tables:
        yield f"if {tables[0]} lists the classes, pass {root / tables[0]} instead"
