"""Find files whose names are written in other Unicode forms on the disk than where they are listed.

A Mac writes an accent as a character of its own: `é` of an annotation is then `e` and an accent on the disk.
"""

import functools
import os

from decathlon.data_prep.sources.image_ref import plain


def on_disk(root: str, name: str) -> str:
    """Return the path of a listed file below a folder, in the form the disk has; as listed if there is none."""
    path = f"{root}/{name}"  # a Path would cost as much as the look-up
    if name.isascii() or os.path.lexists(path):
        return path
    for part in name.split("/"):
        exact = f"{root}/{part}"
        root = exact if os.path.lexists(exact) else f"{root}/{_composed(root).get(plain(part), part)}"
    return root


def _composed(folder: str) -> dict[str, str]:
    try:
        return _listed(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=4096)
def _listed(folder: str, _: int) -> dict[str, str]:
    """Return the names in a folder that are not ASCII by their composed form; the time tells of changes."""
    return {plain(name): name for name in sorted(os.listdir(folder)) if not name.isascii()}
