"""Where a packed file goes: what may be replaced there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from decathlon.errors import UsageError
from decathlon.system.files import refuse_existing


def check_output(output: Path, sources: Sequence[Path], force: bool) -> None:
    """Raise UsageError for an output that must not be written, before long work.

    It is a folder, a device, one of the sources, something else than a packed file, or, without `force`, there.
    """
    if output.is_dir():
        raise UsageError(f"{output} is a folder: name a file in it.")
    if any(source.exists() and output.exists() and source.samefile(output) for source in sources):
        raise UsageError(f"{output} is what is read: write to another file.")
    if not force:
        refuse_existing(output, "choose another name or add --force")
    elif output.exists() and not (output.is_file() and h5py.is_hdf5(output)):
        raise UsageError(f"{output} is no packed file, and --force replaces only those: choose another name.")
