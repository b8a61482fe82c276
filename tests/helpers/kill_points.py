"""What a child does otherwise than a user's command: it dies at a point of the work, waits there, or says more."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import Tensor

from decathlon.data_prep.packing import pipeline
from decathlon.data_prep.packing.writer import PackWriter
from decathlon.data_prep.synth import write
from decathlon.data_prep.synth.table import TABLE
from decathlon.runs.checkpoints import Checkpoints
from decathlon.system import tensor_files
from decathlon.system.tensor_files import write_tensors
from decathlon.training import loop, trainer
from decathlon.training.loop import Training
from decathlon.training.trainer import Trainer

PATCH = pytest.MonkeyPatch()  # never undone: the child ends with it


def die(*_: Any, **__: Any) -> None:
    """End this process and its group as `kill -9` does: nothing is tidied, no buffer is written."""
    os.killpg(0, signal.SIGKILL)


def wait(reached: Path) -> None:
    """Make a file and wait to be killed."""
    reached.touch()
    while True:
        time.sleep(1)


def before_change(number: int) -> None:
    """Die before the disk is changed for the time `number`, counted from 0: flushed, renamed on or removed from."""
    calls = iter(range(10**6))
    for name in ("fsync", "replace", "unlink"):
        PATCH.setattr(os, name, partial(_unless, lambda: next(calls) == number, getattr(os, name)))


def _unless(condition: Callable[[], bool], real: Callable[..., None], *args: Any, **options: Any) -> None:
    if condition():
        die()
    real(*args, **options)


def two_domains() -> None:
    """Draw two synthetic domains, not ten."""
    PATCH.setattr(write, "synthesize", partial(write.synthesize, table=TABLE[:2]))


def every_step() -> None:
    """Write a checkpoint after every step."""
    PATCH.setattr(loop, "CHECKPOINT_SECONDS", 0)


def keep_states(folder: Path) -> None:
    """Write the last state of every trainer, optimizers included, beside the run: a finished run drops it."""
    real = loop._finish

    def finish(training: Training, done: Trainer) -> None:
        write_tensors(folder / f"{done.domains[0]}.safetensors", *done.state())
        real(training, done)

    PATCH.setattr(loop, "_finish", finish)


def before_first_checkpoint() -> None:
    PATCH.setattr(Checkpoints, "write", die)


def inside_write(number: int) -> None:
    """Die when safetensors has half of a file in a temporary of its own, in its call `number`, counted from 0."""
    calls = iter(range(10**6))

    def save(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
        if next(calls) == number:
            file.with_name(".tmpAb12Cd").write_bytes(b"half")
            die()
        save_file(tensors, file, metadata)

    PATCH.setattr(tensor_files, "save_file", save)


def between_renames() -> None:
    """Die when the newest checkpoint has become the older one and the next has no name yet."""
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        older = target.with_name("checkpoint-1.safetensors")
        if target.name == "checkpoint.safetensors" and not target.exists() and older.exists():
            die()
        real(source, target)

    PATCH.setattr(os, "replace", replace)


def after_last_step() -> None:
    """Die when the last step and its checkpoint are done, and nothing is written of what was learned."""
    PATCH.setattr(loop, "_finish", die)


def before_done() -> None:
    """Die when all that was learned is written and the run is not yet marked as done."""
    PATCH.setattr(loop, "write_json", die)


def at_step(number: int, act: Callable[[], None] = die) -> None:
    """Die, or do something else, before a step; counted from 0 in this process."""
    real, taken = Trainer.advance, iter(range(10**6))

    def advance(self: Trainer) -> int:
        if next(taken) == number:
            act()
        return real(self)

    PATCH.setattr(Trainer, "advance", advance)


def forget_optimizer() -> None:
    """Resume without what the optimizers know: the mistake that a comparison must find."""
    PATCH.setattr(trainer, "load_slots", lambda *_: None)


def before_complete() -> None:
    """Die when a packed file lacks its last words."""
    PATCH.setattr(PackWriter, "finish", die)


def before_named() -> None:
    """Die when a packed file is written and verified, under a temporary name."""
    _at_naming(before=True)


def after_named() -> None:
    """Die when a packed file has its name, and before anything is tidied."""
    _at_naming(before=False)


def waiting_to_complete(reached: Path) -> None:
    PATCH.setattr(PackWriter, "finish", lambda *_: wait(reached))


def in_place() -> None:
    """Write packed files under their own name from the beginning: the mistake that a kill must show."""

    @contextlib.contextmanager
    def replacing(path: Path) -> Iterator[Path]:
        yield path

    PATCH.setattr(pipeline, "replacing", replacing)


def _at_naming(before: bool) -> None:
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if before and target.suffix == ".h5":
            die()
        real(source, target)
        if target.suffix == ".h5":
            die()

    PATCH.setattr(os, "replace", replace)
