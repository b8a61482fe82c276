"""Everything the project writes, read again and compared with its own checksums, one row for each file.

Every file goes through the reader that the rest of the project uses for it. Packed files are checked where they are
made: `decathlon.data_prep.packing.check`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from decathlon.data.ground_truth import STRIPPED, Split
from decathlon.data.ground_truth import SUFFIX as TRUTH
from decathlon.errors import DecathlonError, UsageError, VerificationError
from decathlon.experiments.file_kinds import KINDS, Kind, kind_of
from decathlon.runs.checkpoints import Checkpoints
from decathlon.runs.initial_state import read_start
from decathlon.runs.loading import load
from decathlon.runs.logs import read_metrics
from decathlon.runs.record import RECORD, RunRecord, read_status
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import SEEDS, Group, find_group
from decathlon.scoring.results import of_split, read_protocol
from decathlon.scoring.score import Score, refuse_other_weights
from decathlon.system.checksums import RESTORE
from decathlon.system.files import sha256

OK, UNSEALED = "ok", "ok, but it has no checksum"
REACHED = {"running": "; training is not finished", "diverged": "; the run diverged", "done": ""}


@dataclass(frozen=True)
class Checked:
    """One file that was read from end to end; `wrong` is a sentence, None where nothing is wrong."""

    path: Path
    what: str
    wrong: str | None = None
    note: str = OK


def verify(path: Path | str) -> list[Checked]:
    """Check a run directory, a group of runs, or one of their files.

    Raises UsageError for anything else, and for a path that does not exist.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path} does not exist. Name {KINDS}.")
    if path.is_dir():
        return list(_folder(path))
    kind = kind_of(path)
    if kind is None:
        raise UsageError(f"{path} cannot be verified. Name {KINDS}.")
    return [_checked(path, kind)]


def _folder(folder: Path) -> Iterator[Checked]:
    if (folder / SEEDS).exists():
        yield _checked(folder / SEEDS, kind_of(folder / SEEDS))
        try:
            group = find_group(folder)
        except DecathlonError:  # the row above says why
            return
        yield from _members(group) if group else ()
    elif (folder / RECORD).exists():
        yield from _run(Run(folder))
    elif truths := sorted(path for end in (TRUTH, STRIPPED) for path in folder.glob(f"[!.]*{end}")):
        yield from (_checked(path, kind_of(path)) for path in truths)
    else:
        raise UsageError(f"{folder} cannot be verified. Name {KINDS}.")


def _members(group: Group) -> Iterator[Checked]:
    """Check the runs of a group. They are trained in order: only those after an unfinished one may be missing."""
    unfinished = False
    for seed, folder in group.runs.items():
        if not (folder / RECORD).exists():
            wrong = f"{folder} has no {RECORD}. Restore the run, or remove what is left of it and resume the group."
            yield Checked(folder, "run of the group", None if unfinished else wrong, "not trained yet")
            continue
        yield from _run(Run(folder))
        try:
            unfinished = read_status(folder) == "running"
            group.refuse_foreign(seed)
        except DecathlonError as error:
            yield Checked(folder, "run of the group", str(error))


def _run(run: Run) -> Iterator[Checked]:
    """Check the files of a run, those that training left against the SHA-256 in its record."""
    first = _checked(run.folder / RECORD, kind_of(run.folder / RECORD))
    if first.wrong:
        yield first
        return
    record = run.read()
    yield replace(first, note=first.note + REACHED[record.status])
    there = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    rows = [_of_run(run, record, name) for name in sorted((there | record.files.keys()) - {RECORD})]
    yield from (row for row in rows if row is not None)
    if not any(row.wrong for row in rows if row is not None):
        yield _together(run, record)


def _of_run(run: Run, record: RunRecord, name: str) -> Checked | None:
    """Check one file of a run, None for a file that is not the project's."""
    path = run.folder / name
    kind = kind_of(path)
    if not path.is_file():
        return Checked(path, kind.what if kind else "file of the run", f"{path} is missing. {RESTORE}.")
    try:
        record.check_file(run.folder, name)
    except DecathlonError as error:
        return Checked(path, kind.what if kind else "file of the run", str(error))
    return _checked(path, kind, name in record.files) if kind else None


def _together(run: Run, record: RunRecord) -> Checked:
    """Check that the files of a run belong together: to predict with if it is done, else to resume from."""
    try:
        if record.status == "done":
            what = "trunk and domains belong together"
            load(run, record, torch.device("cpu"))
            _check_score(run, record)
        else:
            what = "the run can be resumed"
            read_start(run, record, torch.device("cpu"))
            _check_checkpoints(run, record)
    except DecathlonError as error:
        return Checked(run.folder, what, str(error).splitlines()[0])
    return Checked(run.folder, what)


def _check_checkpoints(run: Run, record: RunRecord) -> None:
    """Raise VerificationError for a checkpoint that training cannot resume from, or where all of them are lost."""
    checkpoints = Checkpoints(run, record.begun)
    found = [checkpoints.read_one(path) for path in (run.checkpoint, run.older_checkpoint) if path.exists()]
    for fault in (state for state in found if isinstance(state, str)):
        raise VerificationError(f"{run.folder} has an unusable checkpoint: {fault}. {RESTORE}.")
    epochs = {line["epoch"] for line in read_metrics(run.metrics)} if run.metrics.exists() else set()
    if not found and len(epochs) > 1:
        raise VerificationError(f"{run.folder} has lost its checkpoints. {RESTORE}.")


def _check_score(run: Run, record: RunRecord) -> None:
    """Raise an error for results that other weights made, or a score of other results than the run has."""
    for split in get_args(Split):
        if (file := run.folder / of_split("results", split)).exists():
            refuse_other_weights(run.folder, file.name, read_protocol(file, sha256(file)), record)
        if (run.folder / of_split("score", split)).exists():
            Score.read(run.folder, split, record)


def _checked(path: Path, kind: Kind | None, listed: bool = False) -> Checked:
    """Read one file; `listed` says that the record of its run has its checksum."""
    assert kind is not None
    try:
        kind.read(path)
    except DecathlonError as error:
        return Checked(path, kind.what, str(error).splitlines()[0])
    return Checked(path, kind.what, None, OK if listed or kind.has_checksum(path) else UNSEALED)
