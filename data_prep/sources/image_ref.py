"""References to files of others: which names are unsafe, and the place of one image's bytes."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from decathlon.errors import DataError

MAX_BYTES = 64 << 20  # of an image file
# control characters, halves of surrogate pairs, and what breaks or turns a line of text
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DRIVE = re.compile("[A-Za-z]:")


def unsafe(name: str) -> str | None:
    """Return why `name` is not a plain relative path inside its folder; None if it is one."""
    if not name.strip("./"):
        return "names no file"
    if name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return "is absolute or not written with forward slashes"
    if ".." in name.split("/"):
        return "leads out of its folder"
    if UNPRINTABLE.search(name):
        return "has unprintable characters"
    return None


def plain(name: str) -> str:
    """Return a file name normalized for comparison: composed characters, no empty or `.` parts."""
    if name.isascii() and "//" not in name and "./" not in name and not name.endswith(("/", "/.")):
        return name  # called for a million names
    return unicodedata.normalize("NFC", str(PurePosixPath(name)))


def keeps(name: str) -> bool:
    """Say whether a file belongs to the data set, unlike those macOS adds beside every file."""
    parts = name.split("/")
    return "__MACOSX" not in parts and not parts[-1].startswith("._")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image to be packed; `name` is for messages. It can be pickled for worker processes.

    Its encoded file is `size` bytes from `offset` of the file at `path`, or `data`. A `data` array (height, width,
    3) of uint8 holds pixels instead; a memory view is not copied until `packed`.
    """

    name: str
    path: str = ""
    offset: int = 0
    size: int = -1  # -1: to the end
    data: bytes | memoryview | npt.NDArray[np.uint8] | None = None

    @property
    def there(self) -> bool:
        """Whether the image was found."""
        return bool(self.path) or self.data is not None

    def read(self) -> bytes | npt.NDArray[np.uint8]:
        """Return the image file's bytes, or pixels; raises DataError saying why they cannot be read."""
        return self.load(MAX_BYTES)

    def load(self, most: int) -> bytes | npt.NDArray[np.uint8]:
        """Do as `read`, for a file of up to `most` bytes."""
        if isinstance(self.data, np.ndarray):
            return self.data
        if self.data is not None:
            return self._checked(bytes(self.data[: most + 1]), most)
        try:
            about = os.stat(self.path)
            if not stat.S_ISREG(about.st_mode):
                raise OSError("not a regular file")  # opening a pipe would wait forever
            rest = max(0, about.st_size - self.offset)  # Python allocates all it is asked to read
            with open(self.path, "rb") as file:  # a Path would cost as much as reading
                file.seek(self.offset)
                found = file.read(min(rest, most + 1, self.size if self.size >= 0 else rest))
        except FileNotFoundError:
            raise DataError(
                f"{self.name} does not exist. Restore the file or remove it from the annotations."
            ) from None
        except OSError as error:
            raise DataError(f"{self.name} cannot be read ({error.strerror or error}). Check the file.") from None
        return self._checked(found, most)

    def packed(self) -> Picture:
        """Return the picture as it can be sent to another process, cut just above the size limit."""
        return replace(self, data=bytes(self.data[: MAX_BYTES + 1])) if isinstance(self.data, memoryview) else self

    @property
    def held(self) -> int:
        """The number of bytes sent along to a worker process."""
        return self.data.nbytes if isinstance(self.data, np.ndarray | memoryview) else len(self.data or b"")

    def _checked(self, found: bytes, most: int) -> bytes:
        if len(found) > most:
            raise DataError(f"{self.name} has more than {most:,} bytes. Check that it is the right file.")
        if len(found) < self.size:
            raise DataError(
                f"{self.name} is cut short: its archive changed while it was read. Run the command again."
            )
        return found
