"""The files of a data set as its authors released it: folders and tar archives, found by their names."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data_prep.sources.archives import Archive, Room, is_archive, open_archive, stem
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError, UsageError

_TABLES = (".csv", ".mat", ".txt")
Place = str | tuple[Archive, str]  # a path, or a member of an archive


@dataclass(frozen=True)
class Tree:
    """Files by their paths, sorted, each beginning with the name of the folder or archive it is in.

    `name` is what the user called them, `layout` says what should be there; both are for messages.
    """

    name: str
    layout: str
    files: Mapping[str, Place]

    def matching(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the paths whose end the pattern matches, from a slash on."""
        search = re.compile(rf"(?:^|/)(?:{pattern})$").search
        for name in self.files:
            if match := search(name):
                yield name, match

    def find(self, ending: str) -> str | None:
        """Return the one path that ends so, None where there is none; raises DataError when there are several."""
        found = [name for name in self.files if name == ending or name.endswith(f"/{ending}")]
        if len(found) > 1:
            raise DataError(f"{self.name} holds {found[0]} and {found[1]}: name a folder that holds one {ending}.")
        return found[0] if found else None

    def one(self, ending: str) -> str:
        """Return the one path that ends so; raises DataError when there is none or there are several."""
        name = self.find(ending)
        if name is None:
            raise self.lacks(ending)
        return name

    def lacks(self, what: str) -> DataError:
        """Return the error that says what is not there and what should be."""
        return DataError(f"{self.name} holds no {what}: name {self.layout}.")

    def picture(self, name: str) -> Picture:
        """Return where a file is; raises DataError when there is none of that name."""
        place = self.files.get(name)
        if place is None:
            raise self.lacks(name.partition("/")[2] or name)
        return Picture(name, place) if isinstance(place, str) else place[0].picture(place[1])

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; raises DataError saying why when it cannot be read."""
        data = self.picture(name).read()
        assert isinstance(data, bytes)
        return data

    def lines(self, name: str) -> list[str]:
        """Return the lines of a text file that are not empty; raises DataError when it is no text."""
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{name} is no text file: copy it again from the original.") from None
        return [line.strip() for line in text.splitlines() if line.strip()]

    def matlab(self, name: str, *variables: str) -> list[Any]:
        """Return variables of a .mat file as scipy's `loadmat` does; only three of the ten originals need it.

        Raises UsageError when scipy is not installed, DataError naming the file when it is damaged or lacks one.
        """
        try:
            from scipy.io import loadmat
        except ImportError:
            raise UsageError(f"reading {name} needs scipy. Install it with: pip install scipy") from None
        try:
            found = loadmat(io.BytesIO(self.read(name)), variable_names=variables)
        except DataError:
            raise
        except Exception as error:  # scipy documents none; damage ends in a dozen kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{name} is not a sound Matlab file ({reason}). Copy or download it again.") from None
        for variable in variables:
            if variable not in found:
                raise DataError(f"{name} holds no {variable}. Take the file from the original.")
        return [found[variable] for variable in variables]


def open_tree(paths: Sequence[Path], layout: str) -> Tree:
    """Return the files of all folders and tar archives together; a table or list may be named by itself.

    Raises UsageError when nothing is at a path, DataError for what is neither, or cannot be read.
    """
    found: dict[str, Place] = {}
    room = Room()
    for path in paths:
        for name, place in _files(path, layout, room):
            if name in found:
                raise DataError(f"{path}: {name} is there twice: leave out one of the two.")
            found[name] = place
    return Tree(", ".join(str(path) for path in paths), layout, dict(sorted(found.items())))


def _files(path: Path, layout: str, room: Room) -> Iterator[tuple[str, Place]]:
    if path.is_dir():
        yield from _walk(path)
    elif not path.exists():
        raise UsageError(f"there is no {path}: name {layout}.")
    elif path.is_file() and path.suffix in _TABLES:
        yield path.name, str(path)
    elif path.is_file() and is_archive(path):
        yield from _packed(path, room)
    else:
        raise DataError(f"{path} is neither a folder nor a tar archive: unpack it and name {layout}.")


def _packed(path: Path, room: Room) -> Iterator[tuple[str, Place]]:
    """Yield the files of an archive and of those it holds, below folders that are called as they are."""
    for archive in open_archive(path, room):
        inside = archive.name.removeprefix(str(path)).strip(": ")
        top = "/".join(filter(None, (stem(path.resolve()), stem(Path(inside)) if inside else "")))
        yield from ((f"{top}/{member}", (archive, member)) for member in archive.members)


def _walk(folder: Path) -> Iterator[tuple[str, Place]]:
    """Yield a folder's files; links to folders are followed, each folder is entered once."""
    top, seen = stem(folder.resolve()), set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        inside = os.path.relpath(place, folder)
        prefix = top if inside == "." else f"{top}/{inside.replace(os.sep, '/')}"
        yield from ((f"{prefix}/{name}", f"{place}/{name}") for name in files)
        kept = []
        for name in sorted(folders):
            about = os.stat(f"{place}/{name}")
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                kept.append(name)
        folders[:] = kept


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror or error}): check its permissions.")
