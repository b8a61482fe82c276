"""A source: the folder, or the archive of one, that holds annotations and images in the official layout."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from decathlon.data_prep.archive import extract, is_archive, stem
from decathlon.errors import DataError, UsageError

ANNOTATIONS = "annotations"
LAYOUT = "annotations/<domain>_{train,val,test_stripped}.json and the images they name"


@dataclass(frozen=True)
class Source:
    """Files under `root`, read by their name relative to it; `name` is what the user's path is called.

    It pickles, so that worker processes read for themselves.
    """

    root: Path
    name: str

    def names(self, folder: str) -> list[str]:
        """Return the sorted names of the files directly in `folder`, relative to the root."""
        return sorted(f"{folder}/{path.name}" for path in (self.root / folder).iterdir() if path.is_file())

    def has(self, name: str) -> bool:
        """Say whether there is a file of that name."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raises DataError saying why when it cannot be read."""
        try:
            with open(f"{self.root}/{name}", "rb") as file:  # a Path would cost as much as the reading
                return file.read()
        except FileNotFoundError:
            raise DataError(
                f"{name} is not there: put the file in place or take it out of the annotations."
            ) from None
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror or error}): check the file.") from None


@contextlib.contextmanager
def open_source(path: Path, scratch: Path) -> Iterator[Source]:
    """Yield the source at `path`; an archive lies unpacked in a private folder under `scratch` meanwhile.

    Raises UsageError when there is nothing at `path`, DataError when it is neither a folder nor an archive of the
    official layout.
    """
    if path.is_dir():
        yield Source(_root(path, path), path.resolve().name)
        return
    if not path.exists():
        raise UsageError(f"there is no {path}: name a folder or an archive in the official layout.")
    if not is_archive(path):
        raise DataError(f"{path} is neither a folder nor a tar archive: name one that holds {LAYOUT}.")
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f".{stem(path)}.", suffix=".unpacked") as name:
        extract(path, Path(name))
        yield Source(_root(Path(name), path), stem(path))


def _root(folder: Path, given: Path) -> Path:
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    roots = [path for path in candidates if (path / ANNOTATIONS).is_dir()]
    if not roots or (len(roots) > 1 and roots[0] != folder):
        found = "several benchmarks" if roots else "no folder 'annotations'"
        raise DataError(f"{given} holds {found}: name a folder or an archive that holds {LAYOUT}.")
    return roots[0]
