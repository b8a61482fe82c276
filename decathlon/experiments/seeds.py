"""Training a group: one request, once for every seed, one run after the other."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch

from decathlon.data.packed_file import PackedFile
from decathlon.errors import DivergedError, UsageError
from decathlon.experiments.launch import train
from decathlon.experiments.request import Request, member_request, resolved
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.runs.record import read_status
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import SEEDS, Group
from decathlon.system.files import refuse_existing
from decathlon.system.locks import locked
from decathlon.system.progress import TrainingProgress
from decathlon.system.resources import writing

LOCK = ".lock"


def train_seeds(request: Request, count: int, progress: TrainingProgress) -> Group:
    """Train `count` runs with the seeds from `request.seed` on, in folders below `request.out`.

    Raises UsageError when that exists, or when the trunk is a group without one of the seeds.
    """
    _refuse_begun(request.out)
    group = Group(request.out, tuple(range(request.seed, request.seed + count)), resolved(request))
    for seed in group.seeds:
        member_request(group, seed)
    group.check()
    with writing(group.folder):
        group.folder.mkdir(parents=True, exist_ok=True)
    with _freed(group.folder), _hold(group.folder):
        _refuse_begun(group.folder)  # again: another process may have started it meanwhile
        group.write()
        try:
            return _train(group, None, progress)
        finally:
            if not any(folder.exists() for folder in group.runs.values()):  # refused: the name is free again
                (group.folder / SEEDS).unlink()


@contextlib.contextmanager
def _freed(folder: Path) -> Iterator[None]:
    """Remove a folder that is empty after the block."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty: that is not ours to remove
            folder.rmdir()


def resume_seeds(group: Group, data: Path | None, progress: TrainingProgress) -> Group:
    """Continue a group to its end: finished runs stay, the interrupted one resumes, missing ones are started."""
    if all(read_status(folder) == "done" for folder in group.runs.values()):
        return group
    with PackedFile(data or Path(group.request["data"])) as packed:
        if packed.digest != group.request["digest"]:
            raise UsageError(
                f"{packed.path} holds other data than {group.folder} was begun with. Name that file with --data."
            )
    torch.set_num_threads(group.request["threads"])
    with _hold(group.folder):
        return _train(group, data, progress)


def _hold(folder: Path) -> AbstractContextManager[None]:
    return locked(folder / LOCK, folder, "is being trained")


def _refuse_begun(folder: Path) -> None:
    if not _blank(folder):
        refuse_existing(folder, "choose another name, or continue it with --resume")


def _train(group: Group, data: Path | None, progress: TrainingProgress) -> Group:
    for seed, folder in group.runs.items():
        status = read_status(folder)
        if status in ("done", "diverged"):
            progress.console.print(f"seed {seed}: {'already trained' if status == 'done' else status}")
            continue
        progress.console.print(f"seed {seed}: {folder}")
        with contextlib.suppress(DivergedError):  # the other seeds first, then all that diverged together
            if status is None:
                request = member_request(group, seed)
                train(request if data is None else replace(request, data=data), progress)
            else:
                resume(folder, ResumeRequest(data=data), progress)
    lost = [str(seed) for seed, folder in group.runs.items() if read_status(folder) == "diverged"]
    if lost:
        raise DivergedError(
            f"the loss of seed {' and '.join(lost)} in {group.folder} is not finite. "
            "Train all seeds under another name with a smaller --lr, or --precision fp32."
        )
    return group


def _blank(folder: Path) -> bool:
    """Tell whether a folder holds only what is left of a group that was killed before its first run began."""
    if not folder.is_dir():
        return False
    return all(
        path.name.startswith((SEEDS, f".{SEEDS}.", LOCK)) or (path.name.startswith("seed-") and Run(path).blank())
        for path in folder.iterdir()
    )
