"""A battery over whole runs of every method: what its files hold, who may read them, and dying on the way."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.inference.evaluate import evaluate
from decathlon.models.registry import find_method, methods
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from tests.helpers.marks import quickly
from tests.helpers.runs import RECIPE, digests, dying_at, go

SHORT = RECIPE.override({"epochs": 2})
DOMAINS = ("apples", "boats")
each = pytest.mark.parametrize("method", methods())
QUICK = ("bn", "mtan", "parallel-svd", "piggyback")
DEFAULT = {name: find_method(name).regimes[0] for name in methods()}
FROZEN = [name for name, regime in DEFAULT.items() if regime == "frozen"]
SHARING = [name for name, regime in DEFAULT.items() if regime != "private"]


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs of every method by name, trained once when first asked for; `trunk` is a joint one of all domains."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def trained(name: str, again: bool = False) -> Run:
        method = "bn" if name == "trunk" else name
        return go(tiny, folder / f"{name}{again}", method, **changes(name, trained))

    return trained


def changes(name: str, runs: Any) -> dict[str, Any]:
    if name == "trunk":
        return {"recipe": SHORT}
    source = runs("parallel" if name == "parallel-svd" else "trunk")
    return {"recipe": SHORT, "trunk": str(source.folder), "domains": DOMAINS}


@pytest.mark.parametrize("method", quickly(methods(), *QUICK))
def test_two_runs_are_equal_to_the_bit(runs: Any, method: str) -> None:
    assert digests(runs(method)) == digests(runs(method, again=True))


@pytest.mark.parametrize("method", quickly(methods(), *QUICK))
def test_a_run_that_died_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: Any, method: str
) -> None:
    with dying_at(monkeypatch, 7):
        go(tiny, tmp_path / "killed", method, **changes(method, runs))
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(runs(method))


@pytest.mark.parametrize("method", FROZEN)
def test_a_frozen_trunk_is_the_same_bits_after_training(runs: Any, method: str) -> None:
    before, after = (read_tensors(run.trunk)[0] for run in (runs("trunk"), runs(method)))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if name.startswith("trunk."))


@each
def test_the_footprint_equals_the_bytes_on_disk(runs: Any, method: str) -> None:
    run = runs(method)
    rows = json.loads((run.folder / "footprint.json").read_text())["rows"]
    for domain in DOMAINS:
        assert payload(run.domain(domain)) == sum(row["bits"] for row in rows if row["scope"] == domain) // 8
    if run.trunk.exists():
        common = sum(row["bits"] for row in rows if row["scope"] in ("trunk", "shared"))
        assert payload(run.trunk) == common // 8


def payload(path: Path) -> int:
    """Return the bytes of a safetensors file after its header."""
    header = int.from_bytes(path.read_bytes()[:8], "little")
    return path.stat().st_size - 8 - header


@each
def test_a_loaded_run_predicts_what_was_trained(tiny: Path, runs: Any, method: str) -> None:
    run = runs(method)
    model = load(run, run.read(), torch.device("cpu")).model
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    with PackedFile(tiny) as packed:
        for name in DOMAINS:
            pool = load_pool(packed, packed.benchmark[name], ("val",), SHORT.size, SHORT.resize)
            loss, accuracy = evaluate(model.networks[name], pool, bf16=False)
            last = [row for row in rows if row["domain"] == name][-1]
            assert accuracy == last["val_accuracy"]
            assert loss == pytest.approx(last["val_loss"], abs=1e-6)


@pytest.mark.parametrize("method", quickly(SHARING, *QUICK))
def test_a_domain_over_another_trunk_is_refused(tiny: Path, tmp_path: Path, runs: Any, method: str) -> None:
    run = Run(tmp_path / "copy")
    shutil.copytree(runs(method).folder, run.folder)
    other = go(tiny, tmp_path / "other", "bn", recipe=RECIPE.override({"epochs": 1}), seed=1)
    shutil.copy(other.trunk, run.trunk)
    with pytest.raises(VerificationError, match="another trunk|does not fit|does not hold the weights"):
        load(run, run.read(), torch.device("cpu"))


def test_parallel_svd_starts_at_the_parallel_run_where_the_rank_is_full(
    tiny: Path, tmp_path: Path, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank as large as an adapter's smaller side holds it exactly for one domain."""
    one: dict[str, Any] = {"recipe": SHORT, "domains": ("boats",)}
    source = go(tiny, tmp_path / "parallel", "parallel", trunk=str(runs("trunk").folder), **one)
    one["recipe"] = SHORT.override({"lr": 0.0})
    run = go(tiny, tmp_path / "svd", "parallel-svd", trunk=str(source.folder), options={"rank": 1.0}, **one)
    before, after = (load(run, run.read(), torch.device("cpu")).model.networks["boats"] for run in (source, run))
    # statistics of norms moved with the images seen: compare in the mode that does not read them
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(before.train()(images), after.train()(images), atol=1e-4, rtol=1e-4)


def test_parallel_svd_needs_a_parallel_run(tiny: Path, tmp_path: Path, runs: Any) -> None:
    for trunk in ("wrn-10-1", str(runs("trunk").folder)):
        with pytest.raises(UsageError, match="Name it with --trunk RUN"):
            go(tiny, tmp_path / "run", "parallel-svd", recipe=SHORT, trunk=trunk)
    with pytest.raises(UsageError, match="has no adapters of towers"):
        go(tiny, tmp_path / "run", "parallel-svd", recipe=SHORT, trunk=str(runs("parallel").folder))
    assert not (tmp_path / "run").exists()


def test_series_norms_go_on_from_a_trunk_with_adapters_inside(tiny: Path, tmp_path: Path) -> None:
    inside = go(tiny, tmp_path / "inside", "series", recipe=SHORT, regime="joint", domains=DOMAINS)
    run = go(tiny, tmp_path / "run", "series", recipe=SHORT.override({"lr": 0.0}), trunk=str(inside.folder))
    before, after = (load(run, run.read(), torch.device("cpu")).model.networks for run in (inside, run))
    for name in DOMAINS:
        old, new = (nets[name].body.get_submodule("stem.norm") for nets in (before, after))
        assert torch.equal(old.get_parameter("weight"), new.get_parameter("weight"))
    mean = sum(before[name].body.get_submodule("stem.norm").get_parameter("weight") for name in DOMAINS) / 2
    torch.testing.assert_close(after["towers"].body.get_submodule("stem.norm").get_parameter("weight"), mean)


def test_series_over_an_ordinary_trunk_is_remarked_on(
    tiny: Path, tmp_path: Path, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    go(tiny, tmp_path / "run", "series", **changes("series", runs))
    said = " ".join(capsys.readouterr().err.split())
    assert "series expects a trunk that was trained with its adapters inside" in said
