"""Cached taps: the same training without running the frozen trunk, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data import image_pool as pool_module
from decathlon.data.domains import Domain
from decathlon.data.image_pool import ImagePool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.runs.run_directory import Run
from decathlon.system.device import autocast
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from decathlon.training import loop
from decathlon.training.feature_cache import TapCache
from tests.helpers.marks import slow
from tests.helpers.runs import RECIPE, digests, dying_at, go, make_trainer

STILL = RECIPE.override({"augment": False})
CACHED = STILL.override({"cache_taps": 1.0})


@pytest.fixture(scope="module")
def trunk(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(go(tiny, tmp_path_factory.mktemp("cache") / "trunk", "bn").folder)


def learned(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.domain("boats"))[0]


@pytest.mark.parametrize("gigabytes", [slow(1.0), 3e-4, slow(1e-9)], ids=["all", "some", "none"])
@pytest.mark.parametrize("method", [slow("feature"), "mtan", slow("dense")])
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
    # every image of three domains and one to know the size of its taps; before, one to try the size of images
    assert sum(seen) == 3 * (24 + 9 + 1) + 1


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
    with pytest.raises(UsageError, match="Set augment to false"):
        RECIPE.override({"cache_taps": 1.0})


def caches(tiny: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, **asked: Any) -> list[TapCache]:
    """Return the caches of a run."""
    made: list[TapCache] = []
    real = TapCache.__init__

    def noted(cache: TapCache, *arguments: Any) -> None:
        real(cache, *arguments)
        made.append(cache)

    monkeypatch.setattr(TapCache, "__init__", noted)
    go(tiny, folder, **asked)
    return made


@pytest.mark.parametrize("method", ["feature", "mtan"])
def test_no_more_is_kept_than_was_allowed(
    tiny: Path, tmp_path: Path, trunk: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = 3e-6 if method == "feature" else 3e-4
    asked: dict[str, Any] = {"method": method, "trunk": trunk, "regime": "frozen"}
    for cache in caches(tiny, monkeypatch, tmp_path / "x", recipe=STILL.override({"cache_taps": allowed}), **asked):
        held = sum(part.element_size() * part.numel() for part in cache.parts)
        own = allowed * 1e9 / (1 if method == "feature" else 3)  # mtan's attention is shared: one job for all
        assert held <= own < held + held / cache.images and 0 < cache.images < len(cache.pool)
        assert len(cache.parts) == (1 if method == "feature" else 4)  # features pooled to one vector, or all taps
        assert f"{cache.images} of {len(cache.pool)} images" in cache.describe()


def test_domains_that_train_together_share_what_is_allowed(tiny: Path) -> None:
    both = make_trainer(tiny, "feature", STILL.override({"cache_taps": 3e-6}), regime="frozen")
    held = [sum(part.element_size() * part.numel() for part in cache.parts) for cache in both.caches.values()]
    assert 0 < sum(held) <= 3e3


@pytest.mark.parametrize("method", ["feature", "mtan"])
@pytest.mark.parametrize("bf16", [False, True])
def test_cached_logits_are_those_of_the_network_in_either_precision(tiny: Path, method: str, bf16: bool) -> None:
    trainer = make_trainer(tiny, method, CACHED, regime="frozen", bf16=bf16)
    for name, cache in trainer.caches.items():
        index, network = torch.tensor([3, 0, 7]), trainer.model.networks[name].eval()
        with autocast(torch.device("cpu"), bf16):
            expected = network(trainer.pools[name].batch(index))
        assert cache.logits(index).dtype == expected.dtype == (torch.bfloat16 if bf16 else torch.float32)
        torch.testing.assert_close(cache.logits(index), expected, atol=2e-2 if bf16 else 1e-5, rtol=2e-2)
        assert all(part.is_contiguous(memory_format=torch.channels_last) for part in cache.parts if part.dim() == 4)


def test_a_job_lets_go_of_its_pools_before_the_next_loads(
    tiny: Path, tmp_path: Path, trunk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[ImagePool]] = []
    real = pool_module.load_pool

    def watched(packed: PackedFile, domain: Domain, *rest: Any) -> ImagePool:
        gc.collect()
        others = {pool.domain.name for seen in alive if (pool := seen()) is not None} - {domain.name}
        assert not others
        pool = real(packed, domain, *rest)
        alive.append(weakref.ref(pool))
        return pool

    monkeypatch.setattr(loop, "load_pool", watched)
    go(tiny, tmp_path / "run", "feature", trunk=trunk, recipe=CACHED)
    assert len(alive) > 3
