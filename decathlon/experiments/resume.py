"""Resuming an interrupted run: as it was begun, or with changes that are meant and recorded."""

from dataclasses import replace
from pathlib import Path

import torch

from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.preflight import check_kept, check_possible, check_size
from decathlon.experiments.resume_changes import (
    Change,
    ResumeRequest,
    changed,
    data_change,
    find_changes,
    format_value,
    refuse,
)
from decathlon.runs.initial_state import read_start
from decathlon.runs.record import RECORD, RecordedData, RunRecord
from decathlon.runs.run_directory import Run, hold
from decathlon.runs.seed_group import find_group
from decathlon.system.checksums import is_sealed
from decathlon.system.device import find_device, use_bf16, versions
from decathlon.system.progress import TrainingProgress
from decathlon.training.loop import Training, remove_state


def resume(
    folder: str | Path, request: ResumeRequest | None = None, progress: TrainingProgress | None = None
) -> Run:
    """Continue an interrupted run to the very end it would have had; nothing happens when it is finished.

    A run that diverged continues from its last good state. Raises UsageError where `request` differs from what the
    run was begun with and does not allow changes.
    """
    folder, progress = Path(folder), progress or TrainingProgress()
    run, request = Run(folder), request or ResumeRequest()
    with hold(run):
        record = run.read()
        changes = find_changes(record, request, partly=bool(run.trained_domains(record)))
        if record.status == "done":
            _refuse_done(run, record, changes, request.data)
            progress.console.print(f"{folder} has already finished training; there is nothing to do.")
            remove_state(run)  # a run that was killed in its last moment
            return run
        refuse(folder, changes, request.allow)
        with _data(run, record, request) as packed:
            changes += data_change(record, packed)
            refuse(folder, changes, request.allow)
            _refuse_member(run, changes)
            _print_notes(run, record, changes, progress)
            record = _continued(run, record, changes, packed)
            torch.set_num_threads(record.threads)  # another number of threads sums in another order
            model = read_start(run, record, _device(run, record))
            check_possible(model.method, record.recipe, record.names, model.device)
            check_kept(packed, list(record.names), record.fit, record.recipe)
            check_size(model, record.recipe, list(record.names))
            run.write(record)
            Training(run, record, packed, model, progress).train()
    return run


def _data(run: Run, record: RunRecord, request: ResumeRequest) -> PackedFile:
    path = record.data.path
    if request.data is None and not path.exists():
        raise UsageError(f"{path}, which {run.folder} was begun with, no longer exists. Name the file with --data.")
    return PackedFile(request.data or path)


def _refuse_member(run: Run, changes: list[Change]) -> None:
    group = find_group(run.folder.resolve().parent) if changes else None
    if group and run.folder.resolve() in group.runs.values():
        raise UsageError(
            f"{run.folder} belongs to the group {run.folder.parent}, whose runs must be alike. Copy it to another "
            "folder to change it there."
        )


def _device(run: Run, record: RunRecord) -> torch.device:
    try:
        return find_device(record.device)
    except UsageError:
        raise UsageError(
            f"{run.folder} was begun on {record.device}, which this machine does not have. "
            "Add --device cpu --allow-change to continue without it."
        ) from None


def _refuse_done(run: Run, record: RunRecord, changes: list[Change], data: Path | None) -> None:
    if data is not None:
        with PackedFile(data) as packed:
            changes = changes + data_change(record, packed)
    for change in changes:
        raise UsageError(
            f"{run.folder} has finished training with {change.describe()}. Train a new run under another name."
        )


def _print_notes(run: Run, record: RunRecord, changes: list[Change], progress: TrainingProgress) -> None:
    """Print what is changed, and what may cost the last bits."""
    say = progress.console.print
    for name, now in versions().items():
        if (before := record.versions.get(name, now)) != now:
            say(f"Note: begun with {name} {before}, now it is {now}. The last bits may differ.")
    if not is_sealed((run.folder / RECORD).read_bytes()):
        say(f"Note: {run.folder / RECORD} has no checksum; it is used as it is.")
    if record.status == "diverged":
        advice = "" if changes else "; add a smaller --lr or --precision fp32, and --allow-change, or it will again"
        say(f"Note: {run.folder} diverged. Resuming from its last good state{advice}.")
    for change in changes:
        say(f"Changed: {change.name} from {format_value(change.before)} to {format_value(change.now)}.")


def _continued(run: Run, record: RunRecord, changes: list[Change], packed: PackedFile) -> RunRecord:
    """Return the record to continue with, changes recorded."""
    record = replace(record, status="running")
    if not changes:
        return record
    lines = run.metrics.read_bytes().count(b"\n") if run.metrics.exists() else 0
    data = RecordedData(packed.path.resolve(), packed.digest)
    domains = tuple(replace(domain, digests=packed.digests(domain.name)) for domain in record.domains)
    record = replace(changed(record, changes, lines), data=data, domains=domains)
    if {"precision", "device"} & {change.name for change in changes}:
        record = replace(record, bf16=use_bf16(record.recipe.precision, _device(run, record)))
    return record
