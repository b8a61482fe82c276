"""`keep = best`: the weights of the best epoch in validation are those of the run, through a kill too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.inference.evaluate import evaluate
from decathlon.inference.predict import predict_run
from decathlon.reports.training_table import summary
from decathlon.runs.loading import load_run
from decathlon.runs.logs import METRICS, read_lines
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import protocol_text, read_results
from decathlon.system.progress import TrainingProgress
from decathlon.training import loop
from decathlon.training.kept_weights import BestEpoch
from tests.helpers.marks import slow
from tests.helpers.packs import COUNTS, write_pack
from tests.helpers.runs import RECIPE, digests, dying_at, go

BEST = RECIPE.override({"keep": "best"})


def test_the_first_of_equal_epochs_is_kept_as_it_was() -> None:
    best, weights = BestEpoch(), {"a": torch.zeros(2)}
    assert best.offer(1, 0.5, weights)
    weights["a"] += 1
    assert not best.offer(2, 0.5, weights) and not best.offer(3, 0.4, weights)
    assert best.epoch == 1 and not best.weights["a"].any()
    assert best.offer(4, 0.6, weights) and best.weights["a"].all()


@pytest.fixture
def accuracies(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the accuracy in validation be the highest after epoch 2 of 3, whatever the networks predict."""
    real, seen = loop._metrics, dict[int, float]()

    def metrics(*args: Any) -> list[dict[str, Any]]:
        rows = real(*args)
        seen.update({row["epoch"]: row["val_accuracy"] for row in rows if row["domain"] == "boats"})
        return [row | {"val_accuracy": {1: 0.2, 2: 0.9, 3: 0.5}[row["epoch"]]} for row in rows]

    monkeypatch.setattr(loop, "_metrics", metrics)
    return seen


@pytest.mark.parametrize(("method", "trunk"), [slow("bn", "wrn-10-1"), ("finetune", "wrn-10-1")])
def test_the_best_epoch_is_what_the_run_holds(
    tiny: Path, tmp_path: Path, accuracies: Any, method: str, trunk: str
) -> None:
    run = go(tiny, tmp_path / "best", method, trunk=trunk, recipe=BEST)
    loaded = load_run(run.folder, "cpu")
    trainer = loop.Training(run, loaded.record, PackedFile(tiny), loaded.model, TrainingProgress())
    pools = trainer._load(("boats",))[1]
    assert evaluate(loaded.networks["boats"], pools["boats"], False)[1] == accuracies[2]
    two = go(tiny, tmp_path / "two", method, trunk=trunk, recipe=BEST.override({"epochs": 3, "keep": "last"}))
    assert digests(two) != digests(run)
    marked = [row["epoch"] for row in read_lines(run.metrics, METRICS) if row["domain"] == "boats" and row["best"]]
    assert marked == [1, 2]
    assert {row[2] for row in summary(run).rows} == {90.0}


def test_a_killed_run_keeps_the_same_epoch(
    tiny: Path, tmp_path: Path, accuracies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(tiny, tmp_path / "whole", recipe=BEST)
    for step in (19, 26):  # after the best epoch, and in the last step
        folder = tmp_path / f"killed{step}"
        with dying_at(monkeypatch, step):
            go(tiny, folder, recipe=BEST)
        assert digests(resume(folder, None, TrainingProgress())) == digests(whole)


def test_a_file_without_validation_images_cannot_take_its_place(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "run", recipe=BEST)
    other = write_pack(tmp_path / "other.h5", counts={"train": COUNTS["train"], "test": COUNTS["test"]})
    request = ResumeRequest(data=other, allow=True)
    with pytest.raises(UsageError, match="keep = best needs labelled validation images"):
        resume(tmp_path / "run", request, TrainingProgress())


def test_the_protocol_says_so(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "best", recipe=BEST.override({"epochs": 1}))
    predict_run(run, tiny, "test", tmp_path / "results.json", "cpu")
    protocol = read_results(tmp_path / "results.json").protocol
    assert protocol is not None and protocol["keep"] == "best"
    assert "best in validation" in str(protocol_text(protocol))


def test_without_held_out_images_nothing_is_the_best(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep = best needs labelled validation images .* Use --keep last."):
        go(tiny, tmp_path / "run", recipe=BEST, fit="train+val")
    assert not Run(tmp_path / "run").folder.exists()
