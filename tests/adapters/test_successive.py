"""successive: turns, what the trunk is held near, and heads at earlier taps, in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from decathlon.adapters.successive import Exit, Successive
from decathlon.cli.main import command
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.method import Moment
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.runs.loading import load_run
from decathlon.system.progress import TrainingProgress
from tests.helpers.packs import TINY
from tests.helpers.runs import RECIPE, digests, dying_at, go

SEQUENTIAL = RECIPE.override({"sampling": "sequential"})


def test_a_turn_begins_with_the_weights_that_the_one_before_left() -> None:
    method = find_method("successive")(build("wrn-10-1"))
    assert isinstance(method, Successive)
    model = MultiDomainModel(method, 0, torch.device("cpu"))
    nets = {name: model.add(name, 2) for name in ("a", "b")}
    weight = model.trunk.get_parameter("stem.weight")
    for step, name in enumerate(("a", "a", "b")):
        method.begin({name: nets[name]}, Moment(step, 9, 0))
        moved = method.penalty(nets, (name,))
        assert (moved.item() > 0) == (step == 1)  # within a turn alone
        with torch.no_grad():
            weight.add_(0.1)
    assert moved.item() == 0
    method.begin({"b": nets["b"]}, Moment(3, 9, 0))
    wanted = 0.01 * 0.1**2 * weight.numel()
    assert method.penalty(nets, ("b",)).item() == pytest.approx(wanted, rel=1e-4)


def test_a_run_with_an_early_head_is_killed_resumed_predicted_and_merged(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = TINY.names[1]
    asked: dict[str, Any] = {"options": {"exit": f"{name}:1"}, "recipe": SEQUENTIAL}
    whole = go(tiny, tmp_path / "whole", "successive", **asked)
    with dying_at(monkeypatch, 13):
        go(tiny, tmp_path / "run", "successive", **asked)
    run = resume(tmp_path / "run", None, TrainingProgress())
    assert digests(run) == digests(whole)
    network = load_run(run.folder, "cpu").networks[name]
    assert isinstance(network.body, Exit) and network.head.in_features == build("wrn-10-1").tap_channels[1]
    merged = tmp_path / "merged.safetensors"
    words = [["predict", run.folder, "--data", tiny], ["merge", run.folder, name, "-o", merged]]
    words.append(["train", "--data", tiny, "--method", "bn", "--trunk", run.folder, "--epochs", 1, "--batch", 8])
    words[-1] += ["--size", 16, "-o", tmp_path / "over"]
    for word in words:
        done = CliRunner().invoke(command, [*map(str, word)])
        assert done.exit_code == 0, done.output + str(done.exception)


@pytest.mark.parametrize("text", ["boats", "boats:0", "boats:3", ":1"])
def test_an_exit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Name domains with tap 1 or 2, as svhn:1,omniglot:2"):
        find_method("successive").choose({"exit": text})


def test_exits_are_for_wide_resnets() -> None:
    kind = find_method("successive")
    with pytest.raises(UsageError, match="exit is for wide ResNets"):
        kind(build("resnet26"), None, kind.choose({"exit": "a:1"}))
