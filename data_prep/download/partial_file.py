"""A file on its way: what has come of it, and from where, kept beside its final name until it is whole."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from decathlon.errors import DataError
from decathlon.system.files import read_json, sync, write_json

_BLOCK = 1 << 20


class PartialFile:
    """The partial file `.NAME.part`, and `.NAME.part.json` with its URL and the version the server named.

    Bytes are only appended to those of the same URL and version, so that no file is a mixture of two.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.target = folder / name
        self.path = folder / f".{name}.part"
        self._about = folder / f".{name}.part.json"

    @property
    def size(self) -> int:
        """Return the number of bytes received so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def origin(self) -> tuple[str, str]:
        """Return URL and version (an ETag or a date) of the bytes; ("", "") if unknown."""
        try:
            about = read_json(self._about)
            return str(about["url"]), str(about["version"])
        except (DataError, KeyError, TypeError):  # a lost or damaged note only costs a new download
            return "", ""

    def version(self, url: str) -> str:
        """Return the version of the bytes if they can be resumed from `url`, else ""."""
        begun, version = self.origin
        return version if begun == url and self.size else ""

    def begin(self, url: str, version: str) -> None:
        """Start an empty file and note where its bytes come from."""
        self.path.write_bytes(b"")
        write_json(self._about, {"url": url, "version": version})

    def discard(self) -> None:
        """Remove the partial file and its note."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its final name, durably."""
        sync(self.path)
        os.replace(self.path, self.target)
        sync(self.target.parent)
        self.discard()


def digest_of(
    path: Path, algorithm: str, progress: Callable[[str, int, int], None] = lambda what, done, total: None
) -> str:
    """Return the digest of a file in hexadecimal digits, read in blocks."""
    digest = hashlib.new(algorithm, usedforsecurity=False)  # MD5 finds damage too, and some publish only that
    size, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress("checking", done, size)
    return digest.hexdigest()
