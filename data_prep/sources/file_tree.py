"""The files of a data set as its authors released it, in folders and tar archives, found by name."""

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.data_prep.sources.archives import Archive, MemoryBudget, is_archive, open_archive, stem
from decathlon.data_prep.sources.image_ref import Picture, keeps, plain
from decathlon.errors import DataError, UsageError

_TABLES = (".csv", ".mat", ".txt")
Place = str | tuple[Archive, str]  # a path, or a member of an archive


@dataclass(frozen=True)
class Tree:
    """Files by their sorted paths, each beginning with the name of its folder or archive.

    `name` is what the user passed, `layout` describes what is expected; both are for messages.
    """

    name: str
    layout: str
    files: Mapping[str, Place]

    def matching(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the paths that end in a match of the pattern, which begins after a slash."""
        search = re.compile(rf"(?:^|/)(?:{pattern})$").search
        for name in self.files:
            if match := search(name):
                yield name, match

    def named(self, pattern: str) -> dict[str, str]:
        """Return the paths that end in a match by its first group; raises DataError where two have the same."""
        found: dict[str, str] = {}
        for file, match in self.matching(pattern):
            if found.setdefault(match[1], file) != file:
                raise DataError(
                    f"{self.name} holds {found[match[1]]} and {file}. Pass a folder with only one of them."
                )
        return found

    def find(self, ending: str) -> str | None:
        """Return the one path with this ending, None without one; raises DataError for several."""
        found = [name for name in self.files if name == ending or name.endswith(f"/{ending}")]
        if len(found) > 1:
            raise DataError(f"{self.name} holds {found[0]} and {found[1]}. Pass a folder with only one {ending}.")
        return found[0] if found else None

    def one(self, ending: str) -> str:
        """Return the one path with this ending; raises DataError for none or several."""
        name = self.find(ending)
        if name is None:
            raise self.missing(ending)
        return name

    def missing(self, what: str) -> DataError:
        """Return the error for a missing file, which says what is expected."""
        return DataError(f"{self.name} has no {what}. Pass {self.layout}.")

    def picture(self, name: str) -> Picture:
        """Return the place of a file; raises DataError if no file has that name."""
        place = self.files.get(name)
        if place is None:
            raise self.missing(name.partition("/")[2] or name)
        return Picture(name, place) if isinstance(place, str) else place[0].picture(place[1])

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; raises DataError if it cannot be read."""
        data = self.picture(name).read()
        assert isinstance(data, bytes)
        return data

    def lines(self, name: str) -> list[str]:
        """Return the non-empty lines of a text file; raises DataError if it is not text."""
        try:
            text = self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"{name} is not a text file. Copy it again from the original.") from None
        return [line.strip() for line in text.splitlines() if line.strip()]

    def matlab(self, name: str, *variables: str) -> list[Any]:
        """Return variables of a .mat file as scipy's `loadmat` does; only three of the ten originals need it.

        Raises UsageError if scipy is not installed, DataError naming the file if it is damaged or lacks a variable.
        """
        try:
            from scipy.io import loadmat
        except ImportError:
            raise UsageError(f"reading {name} needs scipy. Install it with: pip install scipy") from None
        try:
            found = loadmat(io.BytesIO(self.read(name)), variable_names=variables)
        except DataError:
            raise
        except Exception as error:  # scipy documents none; damage raises a dozen kinds
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{name} is not a sound Matlab file ({reason}). Copy or download it again.") from None
        for variable in variables:
            if variable not in found:
                raise DataError(f"{name} has no {variable}. Take the file from the original.")
        return [found[variable] for variable in variables]


def open_tree(paths: Sequence[Path], layout: str) -> Tree:
    """Return the files of all folders and tar archives together; a table or list may be a path by itself.

    Raises UsageError for a path that does not exist, DataError for anything else or unreadable.
    """
    found: dict[str, Place] = {}
    budget = MemoryBudget()
    for path in paths:
        for name, place in _files(path, layout, budget):
            if not keeps(name):
                continue
            if name in found:
                raise DataError(f"{path}: duplicate file {name}. Leave out one of the two.")
            found[name] = place
    return Tree(", ".join(str(path) for path in paths), layout, dict(sorted(found.items())))


def _files(path: Path, layout: str, budget: MemoryBudget) -> Iterator[tuple[str, Place]]:
    if path.is_dir():
        yield from _walk(path)
    elif not path.exists():
        raise UsageError(f"{path} does not exist. Pass {layout}.")
    elif path.is_file() and path.suffix in _TABLES:
        yield path.name, str(path)
    elif path.is_file() and is_archive(path):
        yield from _packed(path, budget)
    else:
        raise DataError(f"{path} is neither a folder nor a tar archive. Unpack it and pass {layout}.")


def _packed(path: Path, budget: MemoryBudget) -> Iterator[tuple[str, Place]]:
    """Yield the files of an archive and of those inside it, below folders with the names of the archives."""
    for archive in open_archive(path, budget):
        inside = archive.name.removeprefix(str(path)).strip(": ")
        top = "/".join(filter(None, (stem(path.resolve()), stem(Path(inside)) if inside else "")))
        yield from ((f"{top}/{member}", (archive, member)) for member in archive.members)


def _walk(folder: Path) -> Iterator[tuple[str, Place]]:
    """Yield a folder's files, following links to folders; each folder is entered once."""
    top, seen = stem(folder.resolve()), set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        inside = os.path.relpath(place, folder)
        prefix = top if inside == "." else f"{top}/{inside.replace(os.sep, '/')}"
        yield from ((plain(f"{prefix}/{name}"), f"{place}/{name}") for name in files)
        kept = []
        for name in sorted(folders):
            about = os.stat(f"{place}/{name}")
            if (about.st_dev, about.st_ino) not in seen:
                seen.add((about.st_dev, about.st_ino))
                kept.append(name)
        folders[:] = kept


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror or error}). Check its permissions.")
