"""The race: the clock stops while test images are predicted, and a table says who reached a goal when."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import race


def points(*accuracies: float) -> list[race.Point]:
    return [{"epoch": n, "seconds": 10.0 * n, "accuracy": value} for n, value in enumerate(accuracies, 1)]


def test_the_clock_stops_while_something_is_measured() -> None:
    def busy() -> float:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
        return 0.5

    (one, two) = race.clocked(2, lambda: None, busy)
    assert two["seconds"] < 0.05 and one["accuracy"] == 0.5 and two["epoch"] == 2


def test_a_goal_is_reached_when_most_seeds_reach_it() -> None:
    assert race.seconds_to(points(0.5, 0.56, 0.54), 0.55) == 20.0
    assert race.seconds_to(points(0.5), 0.55) is None
    found = {"a": [points(0.5, 0.6), points(0.56), points(0.1)]}
    assert "a" in race.table(found) and race._median([10.0, 20.0, None]) == 20.0
    assert race._median([10.0, None, None]) is None and race._median([30.0, 10.0, 20.0]) == 20.0


@pytest.mark.slow
def test_records_are_kept_and_the_same_seed_gives_the_same_accuracy(tiny: Path, tmp_path: Path) -> None:
    def go(out: Path) -> str:
        arguments = ["--data", tiny, "--out", out, "--results", tmp_path / "found", "--trunk", "wrn-10-1"]
        arguments += ["--epochs", 2, "--size", 16, "--split", "val", "--seeds", 1, "quick", "plain:sgd"]
        done = CliRunner().invoke(race.command, list(map(str, arguments)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    first = go(tmp_path / "one")
    record = tmp_path / "one" / "quick-0.json"
    before = record.stat().st_mtime_ns
    assert go(tmp_path / "one") == first and record.stat().st_mtime_ns == before
    go(tmp_path / "two")
    for name in ("quick-0", "plain-sgd-0"):
        one, two = (json.loads((tmp_path / f / f"{name}.json").read_text())["points"] for f in ("one", "two"))
        assert [point["accuracy"] for point in one] == [point["accuracy"] for point in two]
    assert "plain:sgd" in (tmp_path / "found.md").read_text()
