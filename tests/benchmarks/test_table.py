"""The fair table: its rows cover every method, it goes on where it stopped, and its numbers are the runs'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import table
from benchmarks.rows import KNOWN, ROWS, WEIGHTED, Row, seen
from decathlon.errors import UsageError
from decathlon.models.registry import find_method, methods
from decathlon.training.weighting import WEIGHTINGS
from tests.helpers.packs import TINY, write_truth


def test_every_method_has_a_row_over_a_row_before_it_and_every_weighting_has_one() -> None:
    assert {row.method for row in KNOWN.values()} == set(methods())
    assert {row.train[row.train.index("--weighting") + 1] for row in WEIGHTED} == set(WEIGHTINGS.names())
    seen = {""}
    for row in KNOWN.values():
        assert row.over in seen
        seen.add(row.name)


def test_rows_have_seen_every_image_equally_often() -> None:
    known = {row.name: row for row in ROWS}
    trunks = {row.over for row in ROWS if find_method(row.method).inside and row.over} | {"trunk", "series trunk"}
    for row in ROWS:
        wanted = 30 if row.name in trunks else 70 if row.name == "parallel-svd" else 50
        assert seen(row, known, 30, 20) == wanted, row.name


def make(tiny: Path, folder: Path, *words: str, epochs: int = 1) -> dict[str, Any]:
    truth = write_truth(folder / "truth")
    fixed = ["--data", tiny, "--truth", truth, "--out", folder / "runs", "--results", folder / "found" / "tiny"]
    fixed += ["--trunk", "wrn-10-1", "--epochs", epochs]
    options = ["--", "--recipe", "quick", "--size", "16", "--batch", "8", "--threads", "1"]
    done = CliRunner().invoke(table.command, [*map(str, fixed), *words, *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((folder / "found" / "tiny.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_the_table_resumes_and_measures_against_finetune(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = table.FairTable.measure

    def dying(self: table.FairTable, row: Row, baseline: list[str]) -> object:
        if row.name == "feature":
            raise OSError("the machine died")
        return real(self, row, baseline)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(table.FairTable, "measure", dying)
        make(tiny, tmp_path, "--only", "feature")
    before = json.loads((tmp_path / "found" / "tiny.json").read_text())
    after = make(tiny, tmp_path, "--only", "feature")
    assert [row["name"] for row in before["rows"]] == ["trunk", "finetune"]
    rows = {row["name"]: row for row in after["rows"]}
    assert list(rows) == ["trunk", "finetune", "feature"] and before["rows"] == list(rows.values())[:2]
    for name, domain in rows["finetune"]["domains"].items():
        assert domain["points"]["mean"] in (pytest.approx(250), None) and name in TINY.names
    assert rows["feature"]["ratio"] < rows["finetune"]["ratio"]
    page = (tmp_path / "found" / "tiny.md").read_text()
    assert "| feature |" in page and "python -m benchmarks.table" in page and "torch" in page


def test_a_row_that_does_not_exist_is_refused(tiny: Path, tmp_path: Path) -> None:
    words = [
        "--data",
        str(tiny),
        "--truth",
        str(tmp_path),
        "--out",
        str(tmp_path),
        "--results",
        str(tmp_path / "r"),
    ]
    done = CliRunner().invoke(table.command, [*words, "--only", "featre"])
    assert done.exit_code == 2 and "unknown row 'featre'. Choose among" in done.output


def test_other_settings_are_refused(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TABLES", {"methods": ROWS[:1]})
    make(tiny, tmp_path)
    with pytest.raises(UsageError, match=r"was started with epochs \[1, 1\], not \[2, 2\]. Choose another --out"):
        make(tiny, tmp_path, epochs=2)


class Lost(Row):
    """A row whose loss becomes infinite."""

    def arguments(self) -> list[str]:
        return [*super().arguments(), "--lr", "1000000"]


@pytest.mark.slow
def test_a_row_that_diverges_is_in_the_table_and_stops_no_other(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Row("over it", "parallel-svd", over="parallel, lost")
    rows = {row.name: row for row in (*ROWS[:2], Lost("parallel, lost", "parallel"), over, ROWS[2])}
    monkeypatch.setattr(table, "TABLES", {"methods": tuple(rows.values())})
    monkeypatch.setattr(table, "KNOWN", rows)
    for _ in range(2):  # and again, from where it was
        found = {row["name"]: row for row in make(tiny, tmp_path, "--workers", "2")["rows"]}
        assert "is not finite" in found["parallel, lost"]["diverged"] and found["feature"]["score"]
        assert found["over it"]["diverged"] == found["parallel, lost"]["diverged"]
    assert "| parallel, lost | diverged |" in (tmp_path / "found" / "tiny.md").read_text()
