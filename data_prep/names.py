"""File names written by others, in annotations and in archives: what makes one unsafe."""

from __future__ import annotations

import re

_NO_FILE_NAME = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters and halves of surrogate pairs
_DRIVE = re.compile("[A-Za-z]:")


def unsafe(name: str) -> str | None:
    """Say what keeps `name` from being a plain relative file name that stays in its folder; None if nothing."""
    if not name.strip("./"):
        return "leads to no file"
    if name.startswith("/") or "\\" in name or _DRIVE.match(name):
        return "is absolute or not written with forward slashes"
    if ".." in name.split("/"):
        return "leads out of its folder"
    if _NO_FILE_NAME.search(name):
        return "holds characters no file name has"
    return None
