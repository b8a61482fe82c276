"""The search: the same trials every time, each an ordinary run, judged on the validation split alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import search

LR = ("lr", [0.1, 0.2, 0.4])
DECAY = ("weight_decay", [0.0, 0.001])


def test_all_combinations_or_a_fixed_draw_of_them() -> None:
    assert search.draw([LR, DECAY], None) == [{"lr": a, "weight_decay": b} for a in LR[1] for b in DECAY[1]]
    some = search.draw([LR, DECAY], 4)
    assert some == search.draw([LR, DECAY], 4) and len({str(each) for each in some}) == 4
    assert search.draw([LR, DECAY], 9) == search.draw([LR, DECAY], None)


def test_a_star_changes_one_option_at_a_time() -> None:
    centre = {"lr": 0.1, "weight_decay": 0.0}
    changes = [{"lr": 0.2}, {"lr": 0.4}, {"weight_decay": 0.001}]
    assert search.around([LR, DECAY]) == [centre, *(centre | change for change in changes)]


def test_values_are_numbers_where_they_can_be() -> None:
    assert search._values("lr=0.1,1e-3") == ("lr", [0.1, 0.001])
    assert search._values("flip=true,false") == ("flip", [True, False])
    assert search._values("optimizer=sgd,muon") == ("optimizer", ["sgd", "muon"])


def go(tiny: Path, folder: Path) -> dict[str, Any]:
    fixed = ["--data", tiny, "--out", folder / "trials", "--results", folder / "found" / "tiny", "--base", "quick"]
    vary = ["--vary", "lr=0.1,1000000", "--vary", "weight_decay=0,0.001", "--workers", 2, "--also", "size=16"]
    options = [
        "--method",
        "bn",
        "--trunk",
        "wrn-10-1",
        "--epochs",
        1,
        "--batch",
        8,
        "--threads",
        1,
        "--eval-every",
        1,
    ]
    arguments = [*map(str, [*fixed, *vary]), "--", *map(str, options)]
    done = CliRunner().invoke(search.command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((folder / "found" / "tiny.json").read_text())
    return found


@pytest.mark.slow
def test_trials_are_runs_and_a_second_call_trains_nothing(tiny: Path, tmp_path: Path) -> None:
    found = go(tiny, tmp_path)
    accuracies = {row["run"]: row["accuracy"] for row in found["trials"]}
    assert len(accuracies) == 4 and accuracies["lr=0.1_weight_decay=0"] is not None
    assert all(row["cpu_seconds"] > 0 for row in found["trials"])
    run = tmp_path / "trials" / "lr=0.1_weight_decay=0"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    mean = sum(row["val_accuracy"] for row in rows) / len(rows)
    assert accuracies["lr=0.1_weight_decay=0"] == pytest.approx(mean)
    before = (run / "run.json").stat().st_mtime_ns
    again = go(tiny, tmp_path)
    assert again["trials"] == found["trials"] and (run / "run.json").stat().st_mtime_ns == before
    assert (tmp_path / "found" / "tiny.png").stat().st_size > 1000
    assert "| val |" in (tmp_path / "found" / "tiny.md").read_text()
