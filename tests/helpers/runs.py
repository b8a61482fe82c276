"""Short training runs for tests, and runs that die at a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.config.recipe import Recipe
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.experiments.launch import train
from decathlon.experiments.request import Request
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.runs.record import RecordedData, RecordedDomain, RecordedTrunk, RunRecord
from decathlon.runs.run_directory import Run
from decathlon.system.files import sha256
from decathlon.system.progress import TrainingProgress
from decathlon.training.trainer import Trainer
from tests.helpers.packs import TINY

RECIPE = Recipe(epochs=3, batch=8, size=16, lr=0.05, precision="fp32")
ASKED: dict[str, object] = {"data": "x.h5", "digest": "", "threads": 1, "method": "bn", "trunk": "", "recipe": {}}


def request(data: Path, out: Path, method: str = "bn", **changes: Any) -> Request:
    asked: dict[str, Any] = {"trunk": "wrn-10-1", "recipe": RECIPE} | changes
    return Request(data=data, out=out, method=method, **asked)


def go(*args: Any, **changes: Any) -> Run:
    return train(request(*args, **changes), TrainingProgress())


def a_record(method: str = "bn", regime: Regime = "joint", **changes: Any) -> RunRecord:
    """Return the record of a run that was never trained."""
    record = RunRecord(
        method, method, {}, regime, RecordedTrunk("wrn-10-1"), Recipe(), "train", 0, (),
        (RecordedDomain("boats", (1, 2), 2),), "tiny", RecordedData(Path("x.h5"), ""), "cpu", False, 1, {},
    )  # fmt: skip
    return replace(record, start="-", begun="-", **changes)


def make_trainer(
    data: Path, method: str = "bn", recipe: Recipe = RECIPE, regime: Regime | None = None, bf16: bool = False
) -> Trainer:
    """Return a trainer of all domains of the tiny packed file."""
    torch.manual_seed(0)
    model = MultiDomainModel(find_method(method)(build("wrn-10-1"), regime), 0, torch.device("cpu"))
    with PackedFile(data) as packed:
        pools = {name: load_pool(packed, TINY[name], ("train",), 16, 18) for name in TINY.names}
    for name in TINY.names:
        model.add(name, len(TINY[name].categories))
    return Trainer(model, pools, recipe, 0, bf16)


def digests(run: Run) -> dict[str, str]:
    files = [run.metrics, *sorted(run.folder.glob("**/*.safetensors"))]
    return {str(path.relative_to(run.folder)): sha256(path) for path in files}


@contextlib.contextmanager
def dying_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Let the machine die when training would take a step, counted from 0 over all trainers and runs."""
    real, taken = Trainer.advance, iter(range(10**6))

    def dying(trainer: Trainer) -> int:
        if next(taken) == step:
            raise OSError("the machine died")
        return real(trainer)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(Trainer, "advance", dying)
        yield
