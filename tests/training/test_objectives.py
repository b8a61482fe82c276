"""One battery over every objective in its folder: a new file is tested without touching this one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax

from decathlon.config.recipe import Recipe
from decathlon.errors import UsageError
from decathlon.training.objective import OBJECTIVES, MicroBatch
from tests.helpers.runs import RECIPE, go, make_trainer

every = pytest.mark.parametrize("name", OBJECTIVES.names())


def batch(tiny: Path, classes: int = 3) -> MicroBatch:
    network = make_trainer(tiny).model.networks["boats"]
    logits = torch.randn(4, classes, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return MicroBatch("boats", network, torch.arange(4), logits, torch.tensor([0, 1, 2, 0]))


@every
def test_a_loss_is_a_finite_scalar_with_a_gradient_and_the_same_every_time(name: str, tiny: Path) -> None:
    objective, one = OBJECTIVES.find(name)(Recipe()), batch(tiny)
    loss = objective.loss(one)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == () and bool(loss.isfinite())
    assert one.logits.grad is not None and bool(one.logits.grad.abs().sum() > 0)
    assert torch.equal(loss, objective.loss(one))


@every
def test_training_with_it_makes_progress(name: str, tiny: Path) -> None:
    trainer = make_trainer(tiny, recipe=RECIPE.override({"objective": name}))
    losses = []
    while trainer.step < trainer.steps:
        trainer.advance()
        if trainer.step % trainer.epoch_steps == 0:
            losses.append(float(trainer.metrics.sums[:, 0].sum()))
    assert losses[-1] < losses[0]


@every
def test_a_file_explains_itself(name: str) -> None:
    text = OBJECTIVES.load(name).__doc__ or ""
    assert text.startswith(f"{name}: ") and "https://" in text


def test_cross_entropy_by_hand(tiny: Path) -> None:
    one = batch(tiny)
    logs = log_softmax(one.logits, 1).detach()
    right = -logs[range(4), one.labels].mean()
    plain = OBJECTIVES.find("cross-entropy")(Recipe()).loss(one)
    smooth = OBJECTIVES.find("cross-entropy")(Recipe(label_smoothing=0.3)).loss(one)
    assert math.isclose(plain.item(), right.item(), rel_tol=1e-6)
    assert math.isclose(smooth.item(), (0.7 * right - 0.3 * logs.mean()).item(), rel_tol=1e-6)


@pytest.mark.parametrize(("option", "kind"), [("objective", "objective"), ("weighting", "weighting")])
def test_an_unknown_name_is_refused_before_anything_is_written(
    tiny: Path, tmp_path: Path, option: str, kind: str
) -> None:
    with pytest.raises(UsageError, match=f"unknown {kind} 'nothing'"):
        go(tiny, tmp_path / "run", recipe=RECIPE.override({option: "nothing"}))
    assert not (tmp_path / "run").exists()
