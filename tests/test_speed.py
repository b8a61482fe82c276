"""The speed benchmark: every case runs, takes its turn, and a rival's step stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks import scale, speed
from benchmarks.cases import Setting
from benchmarks.timing import Case, measure

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
        "tests.test_speed:rival",
        "--json",
        "-o",
        str(tmp_path / "s.json"),
    ]
    done = CliRunner().invoke(speed.command, words, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert set(found["cases"]) == {"pool -> batch", "against tests.test_speed:rival"}
    assert all(case["per_second"] > 0 and case["rounds"] == 1 for case in found["cases"].values())
    assert found["machine"]["torch"] == torch.__version__ and 0 < found["start"] < 1
    assert json.loads((tmp_path / "s.json").read_text()) == found


def test_an_unknown_case_lists_the_cases() -> None:
    done = CliRunner().invoke(speed.command, ["--case", "mtna"])
    assert done.exit_code == 2 and "no case has that in its name" in done.output


def test_cases_take_turns() -> None:
    seen: list[str] = []
    cases = {name: Case(3, lambda name=name: seen.append(name)) for name in "ab"}  # type: ignore[misc]
    found = measure(cases, rounds=3, seconds=0.0)
    assert "".join(seen[-6:]) == "ababab" and found["a"].rounds == 3


def test_cost_as_work_grows_is_measured_and_drawn(tmp_path: Path) -> None:
    point = scale.measured(2, 100, rounds=1)
    assert point["cpu_ms_per_image"] > 0 and point["pool_mb"] == pytest.approx(2 * 100 * 36 * 36 * 3 / 1e6)
    scale.draw([point | {"domains": count} for count in (1, 2)], tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 1000
