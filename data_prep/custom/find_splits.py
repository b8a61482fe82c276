"""Find the splits of a folder tree: under the names people give them, a level deeper, beside other folders.

Folders that look like splits are either splits, or a refusal: they never become classes in silence.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decathlon.data_prep.custom.collection import SPLIT_NAMES
from decathlon.errors import DataError
from decathlon.system.text import first, several

_WORDS = re.compile("[A-Z]?[a-z]+|[A-Z]+")  # of seg_train, TrainImages, test1, val2017


@dataclass(frozen=True)
class Layout:
    """Where class folders lie: `starts` maps folders, with a slash at the end, to splits; `{"": None}` for none."""

    starts: Mapping[str, str | None]
    notes: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether there are splits."""
        return None not in self.starts.values()


@dataclass
class _Folder:
    """What a folder holds: the number of images `direct`ly in it, and its folders with images at any depth."""

    direct: int = 0
    inner: set[str] = field(default_factory=set)


def find_splits(root: Path, images: Sequence[str], folders: Iterable[str]) -> Layout:
    """Return the layout of a tree with these images, named from the root, and these folders at its top.

    Raises DataError where a folder may be a split or a class.
    """
    places = Counter(name.rpartition("/")[0] for name in images)  # few, beside the images
    base, top = "", _content(places, "")
    classes = [name for name in top if name.strip().lower() in SPLIT_NAMES]
    while not (found := _splits(root / base, top)):
        within = [name for name, folder in top.items() if _several(_named(folder.inner))]
        chain = [name for name, folder in top.items() if len(top) == len(folder.inner) == 1 and not folder.direct]
        if not within and not chain:
            notes = [f"Warning: {name} is taken for a class, not for a split" for name in classes]
            return Layout({"": None}, (*notes, *_alike(top)))
        if within and len(top) > 1:
            raise DataError(
                f"{root / base} has splits inside of {first(within)}. Put the class folders into train, val and "
                "test, or pass one of these folders to --from."
            )
        base, folders = f"{base}{[*within, *chain][0]}/", ()
        top = _content(places, base)
    starts = _deeper(places, {f"{base}{name}/": split for name, split in found.items()})
    inside = tuple(starts)
    left = Counter(_beside(name, base) for name in images if not name.startswith(inside))
    return Layout(starts, tuple(_notes(starts, found, left, set(folders) - found.keys())))


def _content(places: Mapping[str, int], base: str) -> dict[str, _Folder]:
    """Return the folders in a folder that hold images; `places` are the images directly in every folder."""
    found: dict[str, _Folder] = {}
    for place, images in places.items():
        if place.startswith(base) and (rest := place[len(base) :]):
            here, _, below = rest.partition("/")
            folder = found.setdefault(here, _Folder())
            if below:
                folder.inner.add(below.partition("/")[0])
            else:
                folder.direct += images
    return found


def _named(names: Iterable[str]) -> dict[str, str]:
    """Return the folders that have the name of a split, or else a name around such a word and its like for another.

    So `seg_train` and `seg_test` are splits, and `bullet train` is none.
    """
    names = sorted(names)
    exact = {name: split for name in names if (split := SPLIT_NAMES.get(name.strip().lower()))}
    if _several(exact):
        return exact
    around: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        words = [word.lower() for word in _WORDS.findall(name)]
        splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
        if len(splits) == 1:
            around[tuple(word for word in words if word not in SPLIT_NAMES)][name] = splits.pop()
    every = {name: split for found in around.values() for name, split in found.items()}
    alike = {name: split for found in around.values() if _trains(found) for name, split in found.items()}
    return alike or (every if len(every) == len(names) and _trains(every) else exact)


def _several(found: Mapping[str, str]) -> bool:
    return len(set(found.values())) > 1


def _trains(found: Mapping[str, str]) -> bool:
    return _several(found) and "train" in found.values()


def _splits(root: Path, top: Mapping[str, _Folder]) -> dict[str, str]:
    """Return the split of every folder that is one; raises DataError where that is not clear."""
    found = _named(top)
    exact = any(name.strip().lower() in SPLIT_NAMES for name in found)
    others = top.keys() - found.keys()
    if _several(found) and (exact or len(found) == len(set(found.values()))):
        return found
    if not found or not others and exact:
        return found
    if exact and {*found.values()} == {"train"} and not any(top[name].inner for name in found):
        return {}  # a class of trains beside cars
    beside = f" beside {first(others)}" if others else ""
    raise DataError(
        f"{root}: {first(found)}{beside} may be splits or classes. Keep one folder each of train, val and test and "
        "nothing beside them, or rename the classes."
    )


def _alike(top: Mapping[str, _Folder]) -> list[str]:
    """Return a warning where all folders that become classes hold the same folders, as folds do."""
    inner = {frozenset(folder.inner) for folder in top.values()}
    if len(top) < 2 or len(inner) > 1 or len(*inner) < 2 or any(folder.direct for folder in top.values()):
        return []
    return [
        f"Warning: the classes are {first(top)}, and each holds the folders {first(sorted(*inner))}; if those are "
        "the classes, merge the outer folders"
    ]


def _deeper(places: Mapping[str, int], starts: Mapping[str, str]) -> dict[str, str]:
    """Return the starts one level deeper if train has one folder that holds all the class folders."""
    content = {start: _content(places, start) for start in starts}
    single = {s: [*found][0] for s, found in content.items() if len(found) == 1 and s.rstrip("/") not in places}
    train = [start for start, split in starts.items() if split == "train"]
    for start in train:
        folder = content[start][single[start]] if start in single else _Folder()
        if folder.direct or len(folder.inner) < 2:
            return dict(starts)
    if not train:
        return dict(starts)
    return {f"{start}{single[start]}/" if start in single else start: split for start, split in starts.items()}


def _notes(starts: Mapping[str, str], found: Mapping[str, str], left: Counter[str], folders: set[str]) -> list[str]:
    """Return lines on where splits were found, on folders read as one, and on what is left out beside them."""
    notes = []
    if set(starts) != {f"{name}/" for name in found}:
        notes.append(f"class folders are read from {', '.join(sorted(starts))}")
    for split in dict.fromkeys(found.values()):
        if len(same := [name for name, its in found.items() if its == split]) > 1:
            notes.append(f"{' and '.join(same)} are read as one split, {split}")
    if left:
        notes.append(f"Warning: left out {several(left.total(), 'image')} beside the splits: {first(left)}")
    if empty := folders - left.keys():
        notes.append(f"left out folders beside the splits: {first(empty)}")
    return notes


def _beside(name: str, base: str) -> str:
    """Return the folder or file that is named as left out."""
    rest = name.removeprefix(base)
    return name.removesuffix(rest) + rest.partition("/")[0] if rest != name else name.partition("/")[0]
