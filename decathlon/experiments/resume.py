"""Taking up an interrupted run: as it was begun, or with changes that are meant and written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from decathlon.config.recipe import Recipe
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.preflight import check_possible
from decathlon.experiments.resume_changes import (
    Change,
    ResumeRequest,
    changed,
    data_change,
    find_changes,
    refuse,
    words,
)
from decathlon.runs.initial_state import read_start
from decathlon.runs.run_directory import Run, hold
from decathlon.runs.seed_group import find_group
from decathlon.system.checksums import is_sealed
from decathlon.system.device import find_device, use_bf16, versions
from decathlon.system.progress import TrainingProgress
from decathlon.training.loop import remove_state, train_domains


def resume(folder: str | Path, again: ResumeRequest | None = None, progress: TrainingProgress | None = None) -> Run:
    """Go on with an interrupted run to the very end it would have had; nothing happens when it is finished.

    A run that diverged goes on from its last good state. Raises UsageError where `again` asks for something else
    than the run was begun with and does not allow changes.
    """
    folder = Path(folder)
    run, again, progress = Run(folder), again or ResumeRequest(), progress or TrainingProgress()
    with hold(run):
        asked = run.read()
        changes = find_changes(asked, again, partly=bool(run.domains()))
        if asked["status"] == "done":
            _refuse_done(run, changes)
            progress.console.print(f"{folder} is trained to the end already: nothing was to do.")
            remove_state(run)  # a run that was killed in its last moment
            return run
        refuse(folder, changes, again.allow)
        with _data(run, asked, again) as packed:
            changes += data_change(asked, packed)
            refuse(folder, changes, again.allow)
            _refuse_member(run, changes)
            asked = _go_on(run, asked, changes, packed, progress)
            torch.set_num_threads(asked["threads"])  # another number of threads sums in another order
            model = read_start(run, asked, _device(run, asked))
            check_possible(model.method, Recipe().override(asked["recipe"]), model.device)
            run.write(asked)
            train_domains(run, asked, packed, model, progress)
    return run


def _data(run: Run, asked: dict[str, Any], again: ResumeRequest) -> PackedFile:
    path = Path(asked["data"]["path"])
    if again.data is None and not path.exists():
        raise UsageError(f"{path}, which {run.folder} was begun with, is not there: name where it is with --data.")
    return PackedFile(again.data or path)


def _refuse_member(run: Run, changes: list[Change]) -> None:
    group = find_group(run.folder.resolve().parent) if changes else None
    if group and run.folder.resolve() in group.runs.values():
        raise UsageError(
            f"{run.folder} is a run of the group {run.folder.parent}, whose runs are alike: "
            "copy it to another folder to change it there."
        )


def _device(run: Run, asked: dict[str, Any]) -> torch.device:
    try:
        return find_device(asked["device"])
    except UsageError:
        raise UsageError(
            f"{run.folder} was begun on {asked['device']}, which is not here: "
            "add --device cpu --allow-change to go on without it."
        ) from None


def _refuse_done(run: Run, changes: list[Change]) -> None:
    for change in changes:
        raise UsageError(
            f"{run.folder} is trained to the end with {change.told()}: train a new run under another name."
        )


def _go_on(
    run: Run, asked: dict[str, Any], changes: list[Change], packed: PackedFile, progress: TrainingProgress
) -> dict[str, Any]:
    """Return what to go on with, changes written down; say them, and what may cost the last bits."""
    for name, now in versions().items():
        if (before := asked.get("versions", {}).get(name, now)) != now:
            progress.console.print(f"Note: begun with {name} {before}, now it is {now}: the last bits may differ.")
    if not is_sealed((run.folder / "run.json").read_bytes()):
        progress.console.print(f"Note: {run.folder / 'run.json'} has no checksum: it is taken as it stands.")
    if asked["status"] == "diverged":
        advice = "" if changes else ", where it did: add a smaller --lr or --precision fp32, and --allow-change"
        progress.console.print(f"Note: {run.folder} diverged; going on from its last good state{advice}.")
    for change in changes:
        progress.console.print(f"Changed: {change.name} from {words(change.before)} to {words(change.now)}.")
    asked = asked | {"status": "running"}
    if not changes:
        return asked
    lines = run.metrics.read_bytes().count(b"\n") if run.metrics.exists() else 0
    asked = changed(asked, changes, lines)
    asked["data"] = {"path": str(packed.path.resolve()), "digest": packed.digest}
    if {"precision", "device"} & {change.name for change in changes}:
        asked["bf16"] = use_bf16(asked["recipe"]["precision"], _device(run, asked))
    return asked
