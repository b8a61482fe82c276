"""Dropout on the inputs of parallel adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from decathlon.adapters.parallel import ParallelConv, ParallelOptions
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.system.progress import TrainingProgress
from tests.helpers.runs import RECIPE, digests, dying_at, go

SHORT = RECIPE.override({"epochs": 2})


def test_whole_channels_are_dropped_from_what_the_adapter_reads_alone() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, 2, 1).requires_grad_(False)
    site = ParallelConv(conv, ParallelOptions(dropout=0.5))
    images = torch.randn(2, 8, 6, 6)
    torch.manual_seed(1)
    found = site(images)
    torch.manual_seed(1)
    dropped = nn.functional.dropout2d(images, 0.5)
    torch.testing.assert_close(found, conv(images) + site.adapter(dropped))
    site.eval()
    torch.testing.assert_close(site(images), conv(images) + site.adapter(images))


def test_what_is_dropped_is_a_function_of_seed_and_step(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"dropout": 0.5}
    whole = go(tiny, tmp_path / "whole", "parallel", recipe=SHORT, options=options)
    with dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "killed", "parallel", recipe=SHORT, options=options)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)
    without = go(tiny, tmp_path / "without", "parallel", recipe=SHORT)
    assert digests(without) != digests(whole)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_is_a_part(dropout: float) -> None:
    with pytest.raises(UsageError, match="at least 0 and below 1"):
        ParallelOptions(dropout=dropout)
