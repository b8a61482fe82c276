"""The deferred tally of a GPU, rehearsed on a CPU: the same bits, no wait in a step, no bad step on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from decathlon.data import domain_sampling
from decathlon.errors import DivergedError
from decathlon.experiments.resume import resume
from decathlon.runs.run_directory import Run
from decathlon.system.device import asynchronous
from decathlon.system.progress import TrainingProgress
from decathlon.training import epoch_metrics, loop
from decathlon.training import trainer as job_module
from decathlon.training.epoch_metrics import EpochMetrics
from tests.helpers.marks import slow
from tests.helpers.packs import TINY
from tests.helpers.runs import digests, dying_at, go, make_trainer


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a job believe that its device works on by itself."""
    monkeypatch.setattr(job_module, "asynchronous", lambda device: True)


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func._overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_only_a_gpu_is_asynchronous() -> None:
    assert asynchronous(torch.device("cuda:1")) and not asynchronous(torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("every", [2, 100])
def test_a_deferred_tally_changes_no_bit(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(epoch_metrics, "EVERY", every)
    plain = go(tiny, tmp_path / "plain", "mtan")
    monkeypatch.setattr(job_module, "asynchronous", lambda device: True)
    assert digests(go(tiny, tmp_path / "deferred", "mtan")) == digests(plain)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    with dying_at(monkeypatch, 11):
        go(tiny, tmp_path / "killed", "mtan")
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(plain)


@pytest.mark.usefixtures("deferred")
def test_a_step_reads_nothing_from_the_device_and_an_epoch_does(tiny: Path) -> None:
    trainer = make_trainer(tiny)
    domain_sampling._turns.cache_clear()
    with Calls() as inside:
        for _ in range(trainer.epoch_steps - 1):
            trainer.advance()
    assert inside.seen["randperm"] == len(TINY.names)  # an order of the images reaches the device once a pass
    assert inside.seen["convolution"] and not inside.seen["_local_scalar_dense"]
    assert not trainer.metrics.sums.any()
    trainer.advance()
    assert trainer.metrics.sums[:, 3].tolist() == [24, 24, 24]


def test_a_plain_step_reads_its_loss(tiny: Path) -> None:
    """The negative control of the test above."""
    with Calls() as inside:
        make_trainer(tiny).advance()
    assert inside.seen["_local_scalar_dense"]


def diverging_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make the loss of one micro-batch of a run NaN, counted from 0."""
    taken = iter(range(10**6))

    def bad(*arguments: Any, **options: Any) -> Tensor:
        loss = cross_entropy(*arguments, **options)
        return loss * float("nan") if next(taken) == number else loss

    monkeypatch.setattr("decathlon.training.objectives.cross_entropy.cross_entropy", bad)


@pytest.mark.parametrize("seconds", [slow(0), 300], ids=["checkpoint-a-step", "checkpoint-an-epoch"])
@pytest.mark.parametrize("at", [slow(9), 13, slow(17)])
def test_what_a_diverged_run_leaves_is_from_before_the_bad_step(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, seconds: int
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
    left, said = [], []
    for waits in (False, True):
        run = Run(tmp_path / str(waits))
        with monkeypatch.context() as patched, pytest.raises(DivergedError) as raised:
            patched.setattr(job_module, "asynchronous", lambda device, waits=waits: waits)
            diverging_at(patched, at)
            go(tiny, run.folder)
        assert run.read().status == "diverged"
        left.append((run.checkpoint.read_bytes(), run.metrics.read_bytes()))
        said.append(str(raised.value))
    assert left[0] == left[1] and said[0] == said[1] and f"became nan at step {at}." in said[0]
    whole = go(tiny, tmp_path / "whole")
    assert digests(resume(tmp_path / "True", None, TrainingProgress())) == digests(whole)


def test_infinities_of_both_signs_do_not_cancel() -> None:
    kept = EpochMetrics(("a", "b"), deferred=True)
    for domain, loss in enumerate((float("inf"), float("-inf"))):
        kept.add(domain, 7, torch.tensor(loss), torch.tensor(1.0), torch.tensor(0), 4)
    with pytest.raises(DivergedError, match="the loss of a became inf at step 7"):
        kept.settle()


def test_an_open_tally_is_read_every_so_often_and_cleared() -> None:
    counted = EpochMetrics(("a",), deferred=True)
    for step in range(epoch_metrics.EVERY + 1):
        counted.add(0, step, torch.tensor(2.0), torch.tensor(3.0), torch.tensor(1), 4)
    assert counted.sums.tolist() == [
        [8.0 * epoch_metrics.EVERY, 12.0 * epoch_metrics.EVERY, epoch_metrics.EVERY, 4 * epoch_metrics.EVERY]
    ]
    counted.clear()
    counted.settle()
    assert counted.sums.tolist() == [[0, 0, 0, 0]]
