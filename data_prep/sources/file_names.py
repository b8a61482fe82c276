"""File names from annotations and archives: which are unsafe, and how they are compared."""

import re
import unicodedata
from pathlib import PurePosixPath

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
