"""How a download ends: errors with file, digest and how to continue with a copy, and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from decathlon.data.official import OFFICIAL
from decathlon.data_prep.download.http_client import GiveUp
from decathlon.data_prep.download.mirrors import OFFICIAL_GROUP, KnownFile
from decathlon.data_prep.download.partial_file import PartialFile
from decathlon.errors import DecathlonError, Interrupted, VerificationError


def interrupted(part: PartialFile) -> Interrupted:
    """Return the error after Ctrl-C, with what is kept."""
    kept = part.size if part.origin[1] else 0
    if not kept:
        return Interrupted(
            f"interrupted. Nothing of {part.target.name} can be resumed; the same command starts over."
        )
    return Interrupted(
        f"interrupted. {kept / 1e6:,.1f} MB of {part.target.name} are kept; the same command resumes there."
    )


def no_link(file: KnownFile, part: PartialFile) -> DecathlonError:
    """Return the error for a file without an open link."""
    return DecathlonError(
        f"{_described(file)} has no open link. To get it, {file.manual}, {_with_a_copy(file, part)}."
    )


def nowhere(file: KnownFile, failures: Mapping[str, GiveUp], part: PartialFile) -> DecathlonError:
    """Return the error after the last mirror: why each failed and how to continue without them."""
    reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    kept = f" (the same command resumes after {part.size / 1e6:,.1f} MB)" if part.size and part.origin[1] else ""
    kind = VerificationError if any(failure.wrong for failure in failures.values()) else DecathlonError
    return kind(
        f"no mirror has {_described(file)}{kept}: {reasons}. Add a mirror with --mirrors FILE.toml, or get the "
        f"file elsewhere, {_with_a_copy(file, part)}."
    )


def next_step(files: Sequence[KnownFile], folder: Path) -> str:
    """Return the command that reads files of one group, downloaded into a folder."""
    group = files[0].group
    place = {name: shlex.quote(str(folder / name)) for name in (*(file.name for file in files), group)}
    if group == OFFICIAL_GROUP:
        return f"decathlon data prepare {shlex.quote(str(folder))}/decathlon-1.0-* -o FILE.h5"
    zips = [file.name for file in files if file.name.endswith(".zip")]
    names = [file.name for file in files if file.name not in zips]
    if group not in OFFICIAL:
        return f"decathlon data prepare {' '.join(place[file.name] for file in files)} -o FILE.h5"
    unpacked = [
        f"unzip -q -d {place[group]} {place[name]}" for name in zips
    ]  # build reads only folders and tar archives
    sources = " ".join(f"--from {place[name]}" for name in [*names, *([group] if zips else [])])
    return " && ".join([*unpacked, f"decathlon data build {group} {sources} -o FILE.h5"])


def _with_a_copy(file: KnownFile, part: PartialFile) -> str:
    folder = part.target.parent
    return (
        f"put it into {folder}, run this command again to check it, and continue with '{next_step([file], folder)}'"
    )


def _described(file: KnownFile) -> str:
    size = "" if file.size is None else f"{file.size:,} bytes, "
    return f"{file.name} ({size}{file.checked_by} {file.digest})"
