"""Averages of weights: what they are, and that validation, the result and a resumed run see the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from decathlon.data.packed_file import PackedFile
from decathlon.experiments.resume import resume
from decathlon.inference.evaluate import evaluate
from decathlon.models.layers import FrozenNorm
from decathlon.runs.loading import load_run
from decathlon.runs.logs import METRICS, read_lines
from decathlon.system.progress import TrainingProgress
from decathlon.training import loop
from decathlon.training.kept_weights import WeightAverage, estimating
from tests.helpers.marks import slow
from tests.helpers.runs import RECIPE, digests, dying_at, go


def test_equal_shares_are_the_mean() -> None:
    weight, count = torch.zeros(2), torch.tensor(0)
    average = WeightAverage({"weight": weight, "count": count})
    for value in (1.0, 2.0, 6.0):
        weight.fill_(value)
        count += 1
        average.add()
    with average.in_place():
        assert weight.tolist() == [3.0, 3.0] and int(count) == 3
        weight.fill_(-1)
    assert weight.tolist() == [6.0, 6.0]


def test_a_moving_average_forgets_and_warms_up() -> None:
    weight = torch.ones(1)
    average = WeightAverage({"weight": weight})
    expected = 1.0
    for step in range(200):
        weight.fill_(float(step))
        average.add(0.9)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    average.put()
    assert weight.item() == pytest.approx(expected, rel=1e-6) and 189 < expected < 191


def test_statistics_are_those_of_all_passes_and_frozen_ones_stay() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), FrozenNorm(nn.BatchNorm2d(3)))
    batches = [torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) + seed for seed in range(3)]
    with estimating([net]):
        for batch in batches:
            net(batch)
    norm, frozen = net[0], net[1].norm
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(frozen, nn.BatchNorm2d)
    means = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, means)
    assert norm.momentum == 0.3
    assert frozen.running_mean is not None and frozen.running_mean.tolist() == [0, 0, 0]


KINDS = {
    "ema": {"average": "ema", "ema_decay": 0.9},
    "tail": {"average": "tail", "average_from": 0.3},
    "best of tail": {"average": "tail", "average_from": 0.3, "keep": "best"},
}


@pytest.mark.parametrize(
    ("method", "kind"),
    [("bn", "ema"), ("bn", "tail"), slow("bn", "best of tail"), ("split", "tail"), slow("finetune", "ema")],
)
def test_what_was_validated_is_what_is_kept(tiny: Path, tmp_path: Path, method: str, kind: str) -> None:
    options: dict[str, Any] = {"norms": "trunk"} if method == "split" else {}
    regime: Any = "joint" if method == "split" else None
    told: dict[str, Any] = {"options": options, "regime": regime}
    common = RECIPE.override({"together": method == "split"})
    run = go(tiny, tmp_path / "run", method, recipe=common.override(KINDS[kind]), **told)
    plain = go(tiny, tmp_path / "plain", method, recipe=common, **told)
    files = {name for name in digests(run) if name.endswith(".safetensors")}
    assert files and all(digests(run)[name] != digests(plain)[name] for name in files)
    loaded = load_run(run.folder, "cpu")
    trainer = loop.Training(run, loaded.record, PackedFile(tiny), loaded.model, TrainingProgress())
    rows = [row for row in read_lines(run.metrics, METRICS) if row["epoch"] == 3]
    if kind != "best of tail":
        for row in rows:
            pools = trainer._load((row["domain"],))[1]
            found = evaluate(loaded.networks[row["domain"]], pools[row["domain"]], False)
            assert found == pytest.approx((row["val_loss"], row["val_accuracy"]), rel=1e-6)


@pytest.mark.parametrize("step", [slow(3), 19, slow(26)])
@pytest.mark.parametrize("kind", ["ema", "tail", "best of tail"])
def test_a_killed_run_has_the_same_average(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    recipe = RECIPE.override(KINDS[kind])
    whole = go(tiny, tmp_path / "whole", recipe=recipe)
    with dying_at(monkeypatch, step):
        go(tiny, tmp_path / "killed", recipe=recipe)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)
