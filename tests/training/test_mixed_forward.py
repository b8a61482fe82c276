"""One set of norms for all domains: statistics of one batch, in training, in the file and after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.models.surgery import named_norms
from decathlon.runs.loading import load_run
from decathlon.system.progress import TrainingProgress
from decathlon.training.forward import mixed_logits
from tests.helpers.runs import RECIPE, digests, dying_at, go

MIXED = RECIPE.override({"epochs": 2, "together": True})
NORMS = {"norms": "trunk"}


@pytest.mark.parametrize("method", ["split", "mtan", "dense"])
def test_the_domains_share_the_norms_of_the_trunk(tiny: Path, tmp_path: Path, method: str) -> None:
    run = go(tiny, tmp_path / "run", method, recipe=MIXED, options=NORMS)
    loaded = load_run(run.folder, "cpu")
    model, images = loaded.model, torch.randn(6, 3, 16, 16)
    for name, network in loaded.networks.items():
        assert not model.owns_norms(name)
        network.train()
    assert all(norm.num_batches_tracked == run_steps(2) for _, norm in named_norms(model.trunk))
    before = [norm.running_mean.clone() for _, norm in named_norms(model.trunk) if norm.running_mean is not None]
    mixed = mixed_logits(list(loaded.networks.values()), list(torch.split(images, 2)))
    assert [len(part) for part in mixed] == [2, 2, 2]
    moved = [norm.running_mean for _, norm in named_norms(model.trunk) if norm.running_mean is not None]
    assert not any(torch.equal(old, new) for old, new in zip(before, moved, strict=True))


def run_steps(epochs: int) -> int:
    """Return the steps of a run over the tiny file: 9 micro-batches an epoch, three domains in each step."""
    return epochs * 3


def test_split_is_the_plain_network_on_the_joined_batch(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "run", "split", recipe=MIXED, options=NORMS)
    networks = list(load_run(run.folder, "cpu").networks.values())
    images = torch.randn(6, 3, 16, 16)
    for network in networks:
        network.train()
    features = torch.split(networks[0].body(images), 2)
    wanted = [network.head(part) for network, part in zip(networks, features, strict=True)]
    for found, each in zip(mixed_logits(networks, list(torch.split(images, 2))), wanted, strict=True):
        torch.testing.assert_close(found, each)


def test_a_killed_run_resumes_to_the_same_bits(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = go(tiny, tmp_path / "whole", "split", recipe=MIXED, options=NORMS)
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "killed", "split", recipe=MIXED, options=NORMS)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


def test_what_a_mixed_batch_cannot_be_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs all domains in every step. Add --together"):
        go(tiny, tmp_path / "run", "split", recipe=RECIPE, options=NORMS)
    sizes = MIXED.override({"domains": {"boats": {"size": 24}}})
    with pytest.raises(UsageError, match="need one size"):
        go(tiny, tmp_path / "run", "split", recipe=sizes, options=NORMS)
    assert not (tmp_path / "run").exists()
    go(tiny, tmp_path / "one", "split", recipe=RECIPE.override({"epochs": 1}), options=NORMS, domains=("boats",))
