"""The kernel benchmark: without a GPU it says so or rehearses; kernels that differ are named."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from benchmarks import kernels
from benchmarks.kernel_cases import Comparison, Setting, comparisons


def small() -> Comparison:
    """Return the comparison that needs neither a GPU nor Triton."""
    setting = Setting(torch.device("cpu"), torch.float32, (3,), 8, ((4, 5, 4),))
    return next(made for made in comparisons(setting) if made.kernel == "grouped")


def test_without_a_gpu_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(kernels.command, [])
    assert done.exit_code == 2 and "no GPU was found. Use --rehearse" in done.output


@pytest.mark.slow
def test_a_rehearsal_compares_every_kernel(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    words = [sys.executable, "-m", "benchmarks.kernels", "--rehearse", "-o", str(tmp_path / "k.json")]
    root, environment = Path(__file__).parents[2], {**os.environ}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "k.json").read_text())["kernels"]
    assert {row["kernel_name"] for row in found} == {
        "augment", "mask", "mask, with gradients", "folded mask", "grouped",
    }  # fmt: skip
    assert all(row["equal"] == "yes" for row in found)


def test_three_ways_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def uncompiled(compute: Callable[..., object]) -> Callable[..., object]:
        return compute

    monkeypatch.setattr(torch, "compile", uncompiled)
    ticks = iter([0.5, 0.4, 0.1, 9.0, 9.0, 9.0, 0.3, 0.2, 0.2])
    found = kernels.times(small(), rounds=3, seconds=0.001, clock=lambda call: (call(), next(ticks))[1])
    assert [found[way] for way in kernels.WAYS] == [500, 400, 200]  # medians, in microseconds
    assert found["gain"] == 2 and found["milliseconds"]["kernel"] == [0.1, 9.0, 0.2]


def test_what_does_not_compile_or_launch_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> torch.Tensor:
        raise RuntimeError("out of resources")

    monkeypatch.setattr(torch, "compile", lambda compute: refused)
    found = kernels.times(small(), rounds=1, seconds=0.001, clock=lambda call: 1.0)
    assert (
        set(found["milliseconds"]) == {"eager", "kernel"}
        and found["gain"] is None
        and found["error"] == "out of resources"
    )
    row = kernels.row(replace(small(), fused=refused), 1e-4)
    assert row["equal"] == "no: RuntimeError" and row["error"] == "out of resources"


def test_a_kernel_that_is_not_its_reference_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    good = small()
    wrong = replace(good, fused=lambda *arguments: good.fused(*arguments) + 1)
    nan = replace(good, fused=lambda *arguments: good.fused(*arguments) * math.nan)
    other = replace(good, fused=lambda *arguments: good.fused(*arguments).double())
    assert kernels.row(nan, 1e-4)["equal"] == "no: nan" and kernels.row(other, 1e-4)["equal"] == "no: TypeError"
    rows = [kernels.row(comparison, 1e-4) for comparison in (good, wrong)]
    assert rows[0]["equal"] == "yes" and rows[1]["equal"].startswith("no: ")
    with pytest.raises(click.ClickException, match="not equal to the reference: grouped 3 x 4 x 5 x 5"):
        kernels.report(rows, None)
    assert "Kernels" in capsys.readouterr().out
