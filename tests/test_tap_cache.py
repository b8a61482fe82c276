"""Cached taps: the same training without running the frozen trunk, in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.errors import UsageError
from decathlon.progress import TrainingProgress
from decathlon.run import Run
from decathlon.storage import read_tensors
from decathlon.train import resume
from decathlon.trunks.wide_resnet import WideResNet
from tests.runs import RECIPE, digests, dying_at, go

STILL = RECIPE.override({"augment": False})
CACHED = STILL.override({"cache_taps": 1.0})


@pytest.fixture(scope="module")
def trunk(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(go(tiny, tmp_path_factory.mktemp("cache") / "trunk", "bn").folder)


def learned(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.domain("boats"))[0]


@pytest.mark.parametrize("gigabytes", [1.0, 3e-4, 1e-9], ids=["all", "some", "none"])
@pytest.mark.parametrize("method", ["feature", "mtan", "dense"])
def test_training_is_the_same_whatever_fits(
    tiny: Path, tmp_path: Path, trunk: str, method: str, gigabytes: float
) -> None:
    asked: dict[str, Any] = {"trunk": trunk, "regime": "frozen"}
    plain = go(tiny, tmp_path / "plain", method, **asked, recipe=STILL)
    cached = go(tiny, tmp_path / "cached", method, **asked, recipe=STILL.override({"cache_taps": gigabytes}))
    for name, tensor in learned(plain).items():
        torch.testing.assert_close(learned(cached)[name], tensor, atol=1e-3, rtol=1e-3)


def test_the_trunk_runs_once_an_image(
    tiny: Path, tmp_path: Path, trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = WideResNet.taps

    def counted(trunk: WideResNet, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(len(images))
        return real(trunk, images)

    monkeypatch.setattr(WideResNet, "taps", counted)
    go(tiny, tmp_path / "run", "feature", trunk=trunk, recipe=CACHED.override({"eval_every": 99}), fit="train+val")
    assert sum(seen) == 3 * (24 + 9 + 1)  # every image of three domains, and one to know the size


def test_a_cached_run_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"trunk": trunk, "regime": "frozen", "recipe": STILL.override({"cache_taps": 3e-4})}
    whole = go(tiny, tmp_path / "whole", "mtan", **asked)
    with dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "killed", "mtan", **asked)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


@pytest.mark.parametrize(("method", "regime"), [("bn", None), ("mtan", "joint"), ("parallel", None)])
def test_methods_that_change_the_trunk_have_no_taps_to_cache(
    tiny: Path, tmp_path: Path, method: str, regime: Any
) -> None:
    with pytest.raises(UsageError, match="has no taps to cache here"):
        go(tiny, tmp_path / "run", method, regime=regime, recipe=CACHED)
    assert not (tmp_path / "run").exists()


def test_moving_images_cannot_be_cached() -> None:
    with pytest.raises(UsageError, match="set augment to false"):
        RECIPE.override({"cache_taps": 1.0})
