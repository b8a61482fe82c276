"""A source: folders and archives that together hold annotations and images in the official layout."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from decathlon.data.domains import SPLITS
from decathlon.data_prep.sources.archives import SUFFIXES, Archive, MemoryBudget, is_archive, open_archive, stem
from decathlon.data_prep.sources.coco_json import MOST_BYTES
from decathlon.data_prep.sources.disk_names import on_disk
from decathlon.data_prep.sources.image_ref import Picture, keeps, plain
from decathlon.errors import DataError, UsageError

ANNOTATIONS = "annotations"
IMAGES = "data"
FACTS = "benchmark.json"
LAYOUT = "annotations/<domain>_{train,val,test_stripped}.json and the images they name"


@dataclass(frozen=True)
class Folder:
    """Files on the disk; `inside` is the beginning of their names, with a slash, that `root` already stands for."""

    root: Path
    inside: str = ""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder."""
        place = self.root / f"{folder}/".removeprefix(self.inside)
        # other things than files are included, so that reading them raises an error
        there = place.iterdir() if place.is_dir() else ()
        return [plain(f"{folder}/{path.name}") for path in there if not path.is_dir()]

    def find(self, name: str) -> Picture | None:
        """Return the place of a file; None if it is not here."""
        path = on_disk(str(self.root), plain(name).removeprefix(self.inside))
        return Picture(name, path) if os.path.lexists(path) else None


@dataclass(frozen=True)
class Indexed:
    """Files in an archive; `members` maps names in the official layout to those in the archive."""

    archive: Archive
    members: Mapping[str, str]

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder."""
        return [name for name in self.members if name.rpartition("/")[0] == folder]

    def find(self, name: str) -> Picture | None:
        """Return the place of a file; None if it is not here."""
        member = self.members.get(plain(name))
        return None if member is None else self.archive.picture(member)


Holder = Folder | Indexed  # part of a source: files by their names in the official layout


@dataclass(frozen=True)
class Source:
    """All files of a benchmark, from all paths; `name` is that of the user's first path."""

    name: str
    holders: tuple[Holder, ...]

    @property
    def archives(self) -> tuple[Path, ...]:
        """The archives in use, each once."""
        return tuple(dict.fromkeys(holder.archive.path for holder in self.holders if isinstance(holder, Indexed)))

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of files directly in `folder`; raises DataError for duplicates."""
        names = sorted(name for holder in self.holders for name in holder.names(folder))
        for one, two in zip(names, names[1:], strict=False):
            if one == two:
                raise DataError(f"{one} is in two of the sources. Leave out one of them.")
        return names

    def has(self, name: str) -> bool:
        """Say whether a file has that name."""
        return any(holder.find(name) for holder in self.holders)

    def picture(self, name: str) -> Picture:
        """Return the place of a file; a missing one raises when read. Raises DataError for one in two sources."""
        found = [picture for holder in self.holders if (picture := holder.find(name)) is not None]
        if len(found) > 1:
            raise DataError(f"{name} is in two of the sources. Leave out one of them.")
        return found[0] if found else Picture(name)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raises DataError if it cannot be read."""
        data = self.picture(name).load(MOST_BYTES)
        assert isinstance(data, bytes)
        return data


def open_source(paths: Sequence[Path]) -> Source:
    """Open folders and archives as one source: annotations in one, images in the same or in others.

    Raises UsageError for a path that does not exist, DataError without any file of the official layout.
    """
    budget = MemoryBudget()
    holders = [holder for path in paths for holder in _open(path, budget)]
    source = Source(stem(paths[0].resolve()), tuple(holders))
    if not source.names(ANNOTATIONS):
        names = ", ".join(str(path) for path in paths)
        raise DataError(
            f"{names} has no folder 'annotations'. Pass folders or archives with {LAYOUT}; for folders of classes, "
            "run 'decathlon data add'."
        )
    return source


def _open(path: Path, budget: MemoryBudget) -> list[Holder]:
    if path.is_dir():
        return _open_folder(path, budget)
    if not path.exists():
        raise UsageError(f"{path} does not exist. Pass a folder or an archive in the official layout.")
    if not (path.is_file() and is_archive(path)):
        raise DataError(f"{path} is neither a folder nor a tar archive. Pass one with {LAYOUT}.")
    return [_indexed(archive) for archive in open_archive(path, budget)]


def _open_folder(folder: Path, budget: MemoryBudget) -> list[Holder]:
    """Return a folder's holders: itself, or the one benchmark in it, and the archives in it or in `data`."""
    if folder.resolve().name == ANNOTATIONS:
        return [Folder(folder, f"{ANNOTATIONS}/")]
    if any((folder / split).is_dir() for split in SPLITS):
        return [Folder(folder, f"{IMAGES}/{plain(folder.resolve().name)}/")]
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    roots = [path for path in candidates if (path / ANNOTATIONS).is_dir()]
    if len(roots) > 1 and roots[0] != folder:
        raise DataError(f"{folder} holds several benchmarks. Pass one with {LAYOUT}.")
    root = roots[0] if roots else folder
    inside = "" if roots or (root / IMAGES).is_dir() else f"{IMAGES}/"
    places = [place for place in (root, root / IMAGES) if place.is_dir()]
    there = [path for place in places for path in sorted(place.iterdir()) if keeps(path.name)]
    holders: list[Holder] = [Folder(root, inside)]
    for path in [path for path in there if path.name.endswith(SUFFIXES) and not path.is_dir()]:
        holders += _open(path, budget)
    return holders


def _indexed(archive: Archive) -> Indexed:
    """Map the names of the official layout to an archive's members.

    Names are relative to the folder that contains `annotations`. An archive of images alone may begin anywhere
    above or in `data`; one of a single domain may begin with train, val and test, and has the domain's name.
    """
    tops = {name.partition(f"{ANNOTATIONS}/")[0] for name in archive.members if _annotations(name)}
    if len(tops) > 1:
        raise DataError(f"{archive.name} holds several benchmarks. Pass one with {LAYOUT}.")
    if tops:
        top = tops.pop()
        return Indexed(archive, {name.removeprefix(top): name for name in archive.members if name.startswith(top)})
    called = stem(Path(archive.name.rpartition("/")[2].rpartition(": ")[2]))
    return Indexed(archive, {_official(name, called): name for name in archive.members})


def _annotations(name: str) -> bool:
    parts = name.split("/")
    return ANNOTATIONS in parts[:-1] and len(parts) - parts.index(ANNOTATIONS) == 2 and parts.index(ANNOTATIONS) < 3


def _official(name: str, called: str) -> str:
    """Return `data/<domain>/...` for the name of an image in an archive named `called`."""
    parts = name.split("/")
    if IMAGES in parts[:-1]:
        return "/".join(parts[parts.index(IMAGES) :])
    places = [i for i, part in enumerate(parts[:-1]) if part in SPLITS]
    if not places:
        return name
    at = next((place for place in places if place), 0)
    domain = parts[at - 1] if at else called
    return "/".join([IMAGES, domain, *parts[at:]])
