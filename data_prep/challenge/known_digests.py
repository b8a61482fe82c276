"""Archives under a name that is known: are they the files that everybody else has?"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from decathlon.data_prep.download.mirrors import KnownFile, known_files
from decathlon.errors import VerificationError


def check_known(paths: Iterable[Path], strict: bool, say: Callable[[str], None]) -> None:
    """Compare archives with the digests known for files of their names.

    Another digest is a warning with both values. With `strict` it raises VerificationError, and so does an archive
    of an unknown name.
    """
    known = known_files()
    for path in paths:
        if path.name not in known:
            if strict:
                raise VerificationError(f"no digest is known for {path}: leave out --strict to use it.")
            continue
        found = _digest(path, known[path.name])
        if found == known[path.name].digest:
            say(f"{path} has the known {known[path.name].checked_by}")
            continue
        told = f"{path} has {known[path.name].checked_by} {found}, the known file has {known[path.name].digest}"
        if strict:
            again = f"decathlon data fetch {shlex.quote(path.name)} -o {shlex.quote(str(path.parent))} --force"
            raise VerificationError(f"{told}: get it again with '{again}'.")
        say(f"Warning: {told}.")


def _digest(path: Path, file: KnownFile) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, file.algorithm).hexdigest()
