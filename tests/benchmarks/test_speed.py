"""The speed benchmark: every case runs, takes its turn, and a rival's step stands beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks import cases, scale, speed
from benchmarks.cases import Setting
from benchmarks.timing import Case, measure
from decathlon.models.trunks.wide_resnet import WideResNet

TINY = ["--batch", "2", "--size", "16", "--rounds", "1", "--seconds", "0.001"]


def rival(classes: int) -> nn.Module:
    """Return somebody's network."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


@pytest.mark.parametrize("name", [name for name in speed.CASES if "28-4" not in name and "domains" not in name])
def test_every_small_case_runs(name: str) -> None:
    case = speed.CASES[name](Setting(torch.device("cpu"), batch=2, size=16, images=8))
    assert case.images == 2
    case.run()
    case.run()


def test_the_command_times_a_rival_in_the_same_rounds(tmp_path: Path) -> None:
    words = [
        *TINY,
        "--case",
        "pool",
        "--against",
        "tests.benchmarks.test_speed:rival",
        "--json",
        "-o",
        str(tmp_path / "s.json"),
    ]
    done = CliRunner().invoke(speed.command, words, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert set(found["cases"]) == {"pool -> batch", "against tests.benchmarks.test_speed:rival"}
    assert all(case["per_second"] > 0 and case["rounds"] == 1 for case in found["cases"].values())
    assert found["machine"]["torch"] == torch.__version__ and 0 < found["start"] < 1
    assert json.loads((tmp_path / "s.json").read_text()) == found


def test_an_unknown_case_lists_the_cases() -> None:
    done = CliRunner().invoke(speed.command, ["--case", "mtna"])
    assert done.exit_code == 2 and "no case has that in its name" in done.output


def broken(classes: int) -> int:
    """Return no module."""
    return classes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--against", "tests.benchmarks.test_speed"], "cannot be trained"),
        (["--against", "no.such.module:make"], "No module named 'no'"),
        (["--against", "tests.benchmarks.test_speed:nothing"], "has no attribute 'nothing'"),
        (["--against", "tests.benchmarks.test_speed:broken"], "to logits (batch, 100)"),
        (["--device", "xyz"], "unknown device 'xyz'"),
        (["--seconds", "0"], "--seconds"),
    ],
)
def test_what_cannot_be_timed_is_said_in_a_sentence(words: list[str], message: str) -> None:
    done = CliRunner().invoke(speed.command, [*TINY, "--case", "against", *words])
    assert done.exit_code in (1, 2) and message in done.output and isinstance(done.exception, SystemExit)


def test_a_rival_is_timed_alone() -> None:
    words = [*TINY, "--case", "against", "--against", "tests.benchmarks.test_speed:rival", "--json"]
    done = CliRunner().invoke(speed.command, words, catch_exceptions=False)
    assert list(json.loads(done.stdout)["cases"]) == ["against tests.benchmarks.test_speed:rival"]


def test_cases_take_turns() -> None:
    seen: list[str] = []
    cases = {name: Case(3, lambda name=name: seen.append(name)) for name in "ab"}  # type: ignore[misc]
    found = measure(cases, rounds=3, seconds=0.0)
    assert "".join(seen[-6:]) == "ababab" and found["a"].rounds == 3


@pytest.mark.slow
def test_cost_as_work_grows_is_measured_and_drawn(tmp_path: Path) -> None:
    point = scale.measured(2, 100, rounds=1)
    assert point["cpu_ms_per_image"] > 0 and point["pool_mb"] == pytest.approx(2 * 100 * 36 * 36 * 3 / 1e6)
    scale.draw([point | {"domains": count} for count in (1, 2)], tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 1000


def test_what_is_timed_is_counted_by_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 1.0, 6.0, 2.0, 5.0])  # calls to fill the turn, then three rounds of two calls

    def turn(case: Case, calls: int) -> tuple[float, float]:
        return next(turns)

    turns = iter([(1.0, 1.0), (6.0, 3.0), (2.0, 1.0), (5.0, 2.0)])
    monkeypatch.setattr("benchmarks.timing._turn", turn)
    found = measure({"case": Case(3, lambda: next(seconds))}, rounds=3, seconds=2.0)["case"]
    assert (found.per_second, found.per_cpu_second, found.rounds) == (6 / 5, 6 / 2, 3)
    assert found.spread == (6 - 2) / 5


def test_cases_are_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged networks have no adapter; one pass sees the trunk once, ten passes ten times."""
    setting, trunk, merging = Setting(torch.device("cpu"), batch=2, size=16, images=8), Mock(), Mock()
    real = WideResNet.taps

    def taps(*given: Any) -> Any:
        trunk()
        return real(*given)

    monkeypatch.setattr(WideResNet, "taps", taps)
    for together, passes in ((True, 1), (False, 10)):
        trunk.reset_mock()
        cases.ten("mtan", "wrn-10-1", setting, together).run()
        assert trunk.call_count == passes
    monkeypatch.setattr(cases, "merge", merging)
    cases.prediction("series", "wrn-10-1", setting)
    assert not merging.called
    cases.prediction("series", "wrn-10-1", setting, merged=True)
    assert merging.called
