"""A run whose loss or weights are no longer numbers: it ends at once, keeps what was sound, and has no score."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from torch import Tensor
from torch.nn.functional import cross_entropy

from decathlon.cli.main import main
from decathlon.experiments.resume import resume
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import write_results
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from tests.helpers.marks import slow
from tests.helpers.packs import write_truth
from tests.helpers.runs import digests

OPTIONS = "apples --method bn --trunk wrn-10-1 --epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32".split()
NAN = float("nan")


class Command:
    """Runs the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> tuple[object, str]:
        """Return the exit code, and the last line of standard error or, without fault, standard output."""
        self._monkeypatch.setattr(sys, "argv", ["decathlon", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = self._capsys.readouterr()
        return end.value.code, said.err.splitlines()[-1] if end.value.code else said.out


@pytest.fixture
def decathlon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def spoil(monkeypatch: pytest.MonkeyPatch, what: str, step: int) -> None:
    """Make the loss of a step NaN, counted from 0, or its gradient alone."""
    taken = iter(range(10**6))

    def bad(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
        loss = cross_entropy(logits, labels, label_smoothing=label_smoothing)
        if next(taken) != step:
            return loss
        return loss * NAN if what == "loss" else loss + (logits.sum() * 0).sqrt()  # a root has no slope at 0

    monkeypatch.setattr("decathlon.training.objectives.cross_entropy.cross_entropy", bad)


@pytest.mark.parametrize(
    ("fit", "what", "step", "kept", "expected"),
    [
        slow("train", "loss", 0, 0, "the loss of apples became nan at step 0."),
        ("train", "loss", 4, 3, "the loss of apples became nan at step 4."),
        slow("train", "loss", 8, 6, "the loss of apples became nan at step 8."),
        slow("train", "gradient", 3, 3, "the loss of apples became nan at step 4."),
        ("train", "gradient", 5, 3, "the network of apples predicts NaN or infinity."),
        slow("train+val", "gradient", 9, 5, "weights became NaN or infinite by step 10."),  # nothing validates
        ("train+val", "gradient", 14, 10, "weights became NaN or infinite by step 15."),  # nor comes after
    ],
)
def test_a_diverged_run_keeps_a_sound_checkpoint_and_has_no_score(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decathlon: Command, fit: str, what: str, step: int,
    kept: int, expected: str,
) -> None:  # fmt: skip
    run, words = Run(tmp_path / "run"), ("train", *OPTIONS, "--data", tiny, "--fit", fit)
    with monkeypatch.context() as patched:
        spoil(patched, what, step)
        code, said = decathlon(*words, "-o", run.folder)
    assert code == 6 and said.startswith(f"Error: {expected} T")
    assert run.read().status == "diverged" and not run.trunk.exists() and not run.domain("apples").exists()
    steps = []
    for path in run.folder.glob("*.safetensors"):
        tensors, about = read_tensors(path)
        assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
        steps.append(about.get("step", 0))
    assert max(steps) == kept == run.checkpoint.exists() * kept
    assert decathlon(*words, "-o", tmp_path / "whole")[0] == 0
    assert digests(resume(run.folder, None, TrainingProgress())) == digests(Run(tmp_path / "whole"))


def test_nothing_is_predicted_or_scored_with_a_diverged_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decathlon: Command
) -> None:
    run = Run(tmp_path / "run")
    spoil(monkeypatch, "loss", 4)
    assert decathlon("train", *OPTIONS, "--data", tiny, "-o", run.folder)[0] == 6
    code, said = decathlon("leaderboard", run.folder, "--format", "json")
    row = next(row for row in json.loads(said) if row["name"] == "run")
    assert (code, row["score"], row["protocol"]) == (0, None, "diverged")
    write_results(run.folder / "results.json", [10000034], [10000001], {})  # as if somebody had
    truth = write_truth(tmp_path / "truth") / "apples_test.json"
    for words in (("predict", run.folder, "--data", tiny, "--force"), ("score", run.folder, "--truth", truth)):
        code, said = decathlon(*words)
        assert code == 2 and said.startswith(f"Error: {run.folder} diverged")
        assert "Train it again under another name with a smaller --lr" in said
    assert not (run.folder / "score.json").exists()
