"""Links inside a run directory: training makes none, and one that somebody put there is not written through."""

from __future__ import annotations

import os
from pathlib import Path

from decathlon.errors import DataError

OF_A_RUN = ("run.json", "seeds.json")  # the folder of either is a run or a group of runs


def refuse_links(path: Path) -> None:
    """Raise DataError where `path` is of a run and is a link, or its folder of domains is one.

    The run directory itself may be a link, as to a larger disk.
    """
    folder = path.parent
    if any(os.path.lexists(folder / name) for name in OF_A_RUN):
        refuse_link(path)
    elif folder.name == "domains" and os.path.lexists(folder.parent / OF_A_RUN[0]):
        refuse_link(folder)
        refuse_link(path)


def refuse_link(path: Path) -> None:
    """Raise DataError where `path` is a link."""
    if path.is_symlink():
        raise DataError(f"{path} is a link and is not written through: remove it, or put what it leads to there.")
