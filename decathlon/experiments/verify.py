"""Everything the project writes, read again and compared with its own checksums, one row for each file.

Packed files are checked where they are made: `decathlon.data_prep.packing.check`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from decathlon.data.ground_truth import SUFFIX as TRUTH
from decathlon.errors import DataError, DecathlonError, UsageError, VerificationError
from decathlon.experiments.file_kinds import KINDS, Kind, kind_of
from decathlon.runs.checkpoints import Checkpoints
from decathlon.runs.initial_state import read_start
from decathlon.runs.loading import load_model
from decathlon.runs.logs import METRICS, read_lines
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import SEEDS, Group, find_group, status
from decathlon.scoring.score import Score, how_to_score
from decathlon.system.checksums import AGAIN, FILES, read_sealed
from decathlon.system.files import sha256

OK, UNSEALED = "ok", "ok, but it has no checksum"


@dataclass(frozen=True)
class Checked:
    """One file that was read from end to end; `wrong` is a sentence, None where nothing is."""

    path: Path
    what: str
    wrong: str | None = None
    note: str = OK


def verify(path: Path) -> list[Checked]:
    """Check a run directory, a group of runs, or one file of theirs.

    Raises UsageError for something else, and for what is not there.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist: name {KINDS}.")
    if path.is_dir():
        return list(_folder(path))
    kind = kind_of(path)
    if kind is None:
        raise UsageError(f"{path} is nothing that can be verified: name {KINDS}.")
    return [_checked(path, kind)]


def _folder(folder: Path) -> Iterator[Checked]:
    if (folder / SEEDS).exists():
        yield _checked(folder / SEEDS, kind_of(folder / SEEDS))
        try:
            group = find_group(folder)
        except DecathlonError:
            return
        yield from _members(group) if group else ()
    elif (folder / "run.json").exists():
        yield from _run(Run(folder))
    elif truths := sorted(folder.glob(f"[!.]*{TRUTH}")):
        yield from (_checked(path, kind_of(path)) for path in truths)
    else:
        raise UsageError(f"{folder} is nothing that can be verified: name {KINDS}.")


def _members(group: Group) -> Iterator[Checked]:
    """Check the runs of a group. They are trained in order: none is missing but after one that is not done."""
    going_on = False
    for seed, path in group.runs.items():
        if path.is_dir():
            yield from _run(Run(path))
            yield from _foreign(group, seed)
            with contextlib.suppress(DecathlonError):  # said in a row already
                going_on = status(path) == "running"
        elif going_on:
            yield Checked(path, "run of the group", None, "not begun yet")
        else:
            remedy = f"copy it back, or 'decathlon train --resume -o {group.folder}' trains it"
            yield Checked(path, "run of the group", f"{path} is missing: {remedy}.")


def _foreign(group: Group, seed: int) -> Iterator[Checked]:
    """Yield a row where another run stands in the place of a seed's."""
    with contextlib.suppress(DataError):  # said in a row already
        try:
            group.refuse_foreign(seed)
        except VerificationError as error:
            yield Checked(group.runs[seed], "run of the group", str(error))


def _run(run: Run) -> Iterator[Checked]:
    """Check the files of a run, those that training left against the SHA-256 in run.json."""
    request = run.folder / "run.json"
    first = _checked(request, kind_of(request))
    if first.wrong:
        yield first
        return
    asked, digests = run.read(), read_sealed(request, AGAIN).get(FILES, {})
    reached = {"running": f"{first.note}; not trained to the end", "diverged": f"{first.note}; the run diverged"}
    yield replace(first, note=reached.get(asked["status"], first.note))
    rows = _files(run, asked, digests)
    yield from rows
    if not any(row.wrong for row in rows) and (asked["status"] == "done" or run.trunk.exists()):
        yield _together(run)


def _files(run: Run, asked: dict[str, Any], digests: Mapping[str, str]) -> list[Checked]:
    """Check every file of a run that is there or should be, except run.json."""
    done = asked["status"] == "done"
    wanted = {f"domains/{entry['name']}.safetensors" for entry in asked["domains"] if done} | digests.keys()
    wanted |= {run.trunk.name} if done and asked["regime"] != "private" else set()
    faults = {} if done else state_faults(run, asked)
    wanted |= {path.name for path in faults}
    found = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    rows = [_of_run(run.folder / name, digests.get(name)) for name in sorted(wanted | found - {"run.json"})]
    return [replace(row, wrong=faults.get(row.path, row.wrong)) for row in rows if row is not None]


def _of_run(path: Path, digest: str | None) -> Checked | None:
    """Check one file of a run, None for a stranger's; `digest` is the SHA-256 that run.json has of it."""
    kind = kind_of(path) if path.is_file() else None
    what = kind.what if kind else "file of the run"
    if not path.is_file():
        return Checked(path, what, f"{path} is missing: {AGAIN}.")
    if digest is not None and sha256(path) != digest:
        return Checked(path, what, f"{path} is not what training wrote: {AGAIN}.")
    return _checked(path, kind, digest is not None) if kind else None


def _together(run: Run) -> Checked:
    """Check that trunk, domains, results and score of a run belong together."""
    what = "trunk and domains belong together"
    try:
        load_model(run, torch.device("cpu"))
        results, score = run.folder / "results.json", run.folder / "score.json"
        told = (Score.read(score).protocol if score.exists() else None) or {}
        if "results_sha256" in told and results.exists() and told["results_sha256"] != sha256(results):
            raise DataError(f"{score} was made from other results. Run '{how_to_score(run.folder)}' again.")
    except DecathlonError as error:
        return Checked(run.folder, what, str(error).splitlines()[0])
    return Checked(run.folder, what)


def _checked(path: Path, kind: Kind | None, listed: bool = False) -> Checked:
    """Read one file; `listed` says that run.json has its checksum."""
    assert kind is not None
    try:
        sealed = kind.read(path)
    except DecathlonError as error:
        return Checked(path, kind.what, str(error).splitlines()[0])
    return Checked(path, kind.what, None, OK if listed or sealed else UNSEALED)


def state_faults(run: Run, asked: dict[str, Any]) -> dict[Path, str]:
    """Return by file what keeps a run that is not done from going on, in a sentence each."""
    faults = {}
    try:
        read_start(run, asked, torch.device("cpu"))
    except DecathlonError as error:
        missing = f"{run.start} is missing: {AGAIN}."
        faults[run.start] = str(error).splitlines()[0] if run.start.exists() else missing
    checkpoints = Checkpoints(run, asked.get("begun"))
    there = [path for path in (run.checkpoint, run.older_checkpoint) if path.exists()]
    for path in there:
        state = checkpoints.read_one(path)
        if isinstance(state, str):
            faults[path] = f"{path} is nothing to go on from, {state}: {AGAIN}."
    if not there and _beyond_first(run):
        faults[run.checkpoint] = (
            f"{run.checkpoint} is missing, and {run.metrics.name} speaks of later epochs than the first: {AGAIN}."
        )
    return faults


def _beyond_first(run: Run) -> bool:
    """Say whether metrics tell of an epoch that comes after a checkpoint; a kill may fall between the two once."""
    if not run.metrics.is_file():
        return False
    try:
        lines = read_lines(run.metrics, METRICS)
    except DecathlonError:  # said of that file already
        return False
    return any(line["epoch"] > 1 for line in lines)
