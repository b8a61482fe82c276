"""The GPU benchmark, rehearsed on a CPU: the floors' arithmetic, the files, and the error without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import gpu
from benchmarks.cases import Setting
from benchmarks.floor import Ceilings, Work, ceilings
from benchmarks.gpu import Plan
from benchmarks.timing import Case, Timing
from decathlon.training.forward import Forward, plain_forward

CPU = torch.device("cpu")
H200 = Ceilings(790e12, 4.3e12)


@pytest.mark.parametrize(
    ("name", "eager", "fused"),
    [("mtan wrn-28-4, full", 45, 66), ("mtan wrn-28-4, frozen", 73, 108), ("bn resnet26, full", 93, 137),
     ("parallel resnet26, frozen", 93, 137)],
)  # fmt: skip
def test_floors_are_those_of_the_design(name: str, eager: int, fused: int) -> None:
    work = gpu.CASES[name][1]
    assert round(work.floor(H200, 64, fused=False) / 1000) == eager
    assert round(work.floor(H200, 64, fused=True) / 1000) == fused


def test_the_scarcer_ceiling_decides_and_smaller_images_cost_less() -> None:
    work = Work(flop=10.0, eager=4.0, fused=2.0)
    assert work.floor(Ceilings(10.0, 1.0), 64, fused=False) == 0.25
    assert work.floor(Ceilings(10.0, 1.0), 32, fused=True) == 2.0
    assert work.floor(Ceilings(1.0, 100.0), 64, fused=True) == 0.1


def test_ceilings_are_measured() -> None:
    found = ceilings(CPU, side=32, megabytes=1, seconds=0.001)
    assert found.flop > 1e6 and found.bytes > 1e6


@pytest.mark.slow
def test_a_rehearsal_writes_json_and_markdown(tmp_path: Path) -> None:
    out = tmp_path / "2026-11-gpu"
    done = CliRunner().invoke(gpu.command, ["--rehearse", "-o", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    document = json.loads(out.with_name("2026-11-gpu.json").read_text())
    assert [row["case"] for row in document["rows"]] == list(gpu.CASES) and document["rehearsal"]
    assert all(row[way] > 0 for row in document["rows"] for way in (*gpu.WAYS, "graphs_part", "first"))
    page = out.with_name("2026-11-gpu.md").read_text()
    assert "numbers mean nothing" in page and page.count("| parallel resnet26, frozen |") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(gpu.command, ["-o", str(tmp_path / "x")])
    assert done.exit_code == 2 and "Use --rehearse" in done.output
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_left_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(setting: Setting, **way: object) -> Case:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setitem(gpu.CASES, "large", (full, Work(1.0, 1.0, 1.0)))
    row = gpu.row("large", 2048, Plan(CPU), H200)
    assert row == {"case": "large", "batch": 2048} | {f"{way}_error": "full" for way in gpu.WAYS}
    about = {"machine": {"accelerator": "none"}, "command": "c", "size": 64, "rehearsal": False}
    assert "| large | 2048 | – |" in gpu.markdown(about, H200, [row])


def test_a_way_that_fails_leaves_the_others_and_parts_are_of_their_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(setting: Setting, forward: Forward, cuda_graphs: bool) -> Case:
        if forward is not plain_forward and not cuda_graphs:
            raise RuntimeError("no code for this\nsecond line")
        return Case(2, lambda: None)

    monkeypatch.setitem(gpu.CASES, "case", (make, Work(1.0, 4.0, 2.0)))
    row = gpu.row("case", 2, Plan(CPU, size=64, rounds=1, seconds=1e-4, backend="eager"), Ceilings(1e30, 1.0))
    assert row["compiled_error"] == "no code for this" and "compiled" not in row
    assert row["eager_part"] == pytest.approx(row["eager"] / 0.25)
    assert row["graphs_part"] == pytest.approx(row["graphs"] / 0.5)


def test_a_product_is_two_operations_a_term_and_a_copy_reads_and_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Timing(per_second=3.0, per_cpu_second=3.0, rounds=1, spread=0.0)
    monkeypatch.setattr("benchmarks.floor.measure", lambda cases, **options: dict.fromkeys(cases, once))
    assert ceilings(CPU, side=10, megabytes=1, seconds=1.0) == Ceilings(2 * 10**3 * 3.0, 2 * 2**20 * 3.0)
