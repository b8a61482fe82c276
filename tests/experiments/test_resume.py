"""Resuming takes up what a run was begun with and left, all of it, or says what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from decathlon.errors import DivergedError, UsageError, VerificationError
from decathlon.experiments import resume as resuming
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.files import write_json
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors, write_tensors
from decathlon.training.trainer import Trainer
from tests.helpers.runs import RECIPE, digests, dying_at, go, request

Captured = pytest.CaptureFixture[str]


def test_another_release_is_told(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(resuming, "versions", lambda: {"torch": "9.9", "processor": "ABACUS"})
    resume(run, None, TrainingProgress())
    said = " ".join(capsys.readouterr().err.split())
    assert f"begun with torch {torch.__version__}, now it is 9.9. The last bits may differ" in said
    assert "now it is ABACUS" in said


def test_a_diverged_run_goes_on_from_its_last_good_state(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    real = Trainer.advance
    with monkeypatch.context() as patched:
        patched.setattr(
            Trainer, "advance", lambda trainer: _poisoned(trainer) if trainer.step == 20 else real(trainer)
        )
        with pytest.raises(DivergedError):
            resume(run, None, TrainingProgress())
    assert Run(run).read().status == "diverged"
    tensors, values = read_tensors(Run(run).checkpoint)
    assert values["step"] == 18 and all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    with monkeypatch.context() as patched:
        patched.setattr(
            Trainer, "advance", lambda trainer: _poisoned(trainer) if trainer.step == 20 else real(trainer)
        )
        with pytest.raises(DivergedError):
            resume(run, None, TrainingProgress())
    assert "Resuming from its last good state; add a smaller --lr or" in " ".join(capsys.readouterr().err.split())
    done = resume(run, ResumeRequest(options={"lr": 0.001}, allow=True), TrainingProgress())
    assert done.read().status == "done" and done.read().changes[0].after_lines == 6


def _poisoned(trainer: Trainer) -> int:
    raise DivergedError("the loss became nan: train with a smaller --lr.")


def test_a_checkpoint_of_another_run_is_not_gone_on_from(run: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "checkpoint.safetensors", run)
    with pytest.raises(VerificationError, match=r"\(checkpoint\.safetensors belongs to another run\)"):
        resume(run, None, TrainingProgress())


def test_another_start_is_not_gone_on_from(run: Path) -> None:
    tensors, about = read_tensors(Run(run).start)
    write_tensors(Run(run).start, {name: tensor + 1 for name, tensor in tensors.items()}, about)
    with pytest.raises(VerificationError, match=r"start\.safetensors is not what this run began with"):
        resume(run, None, TrainingProgress())


def test_metrics_that_are_not_what_was_written_are_not_built_upon(run: Path, undisturbed: dict[str, str]) -> None:
    text = Run(run).metrics.read_text()
    Run(run).metrics.write_text(text.replace('"train_accuracy": 0.', '"train_accuracy": 1.', 1))
    with pytest.raises(VerificationError, match=r"\(metrics\.jsonl is damaged\)"):
        resume(run, None, TrainingProgress())
    Run(run).metrics.write_text(text + '{"epoch": 2, "torn')  # a line that a kill cut: it was never counted on
    assert digests(resume(run, None, TrainingProgress())) == undisturbed


def test_a_run_json_changed_by_hand_is_refused(run: Path) -> None:
    asked = read_sealed(run / "run.json", "")
    sealed = read_sealed.__globals__["parse_json"]((run / "run.json").read_bytes(), "")
    write_json(run / "run.json", sealed | {"seed": 5})
    with pytest.raises(VerificationError, match=r"run\.json is damaged"):
        resume(run, None, TrainingProgress())
    write_sealed(run / "run.json", asked | {"threads": 3})  # sealed again: it is believed
    assert Run(run).read().threads == 3


def test_a_request_is_begun_with_what_binds_its_checkpoints(tiny: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "run", recipe=RECIPE)
    record = Run(tmp_path / "run").read()
    assert read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["begun"] == record.begun
    assert request(tiny, tmp_path).seed == record.seed and len(record.start) == 64
    assert [domain.images for domain in record.domains] == [24, 24, 24]


def test_a_run_that_lost_its_checkpoints_is_not_begun_anew_in_silence(
    run: Path, undisturbed: dict[str, str]
) -> None:
    for path in (Run(run).checkpoint, Run(run).older_checkpoint):
        path.unlink(missing_ok=True)
    lines = Run(run).metrics.read_text().splitlines(keepends=True)
    Run(run).metrics.write_text("".join(lines) + lines[0])
    with pytest.raises(VerificationError, match="has lost its checkpoints. Restore a copy, or remove"):
        resume(run, None, TrainingProgress())
    Run(run).metrics.write_text("".join(lines))  # killed before the first checkpoint: nothing is lost
    assert digests(resume(run, None, TrainingProgress())) == undisturbed


def test_a_finished_job_stays_what_it_was(half: Path, tiny: Path, tmp_path: Path) -> None:
    for damage in ("removed", "flipped", "foreign"):
        own = Path(shutil.copytree(half, tmp_path / damage))
        file = Run(own).domain("apples")
        if damage == "removed":
            file.unlink()
        elif damage == "flipped":
            file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))
        else:
            other = go(tiny, tmp_path / "other", "scratch", domains=("apples",), seed=3)
            shutil.copy(other.domain("apples"), file)
        with pytest.raises(
            VerificationError, match=r"apples\.safetensors is damaged or missing, and it was already trained"
        ):
            resume(own, None, TrainingProgress())
        assert Run(own).read().status == "running"


def test_data_that_moved_is_named_with_an_option(
    run: Path, tiny: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    asked = read_sealed(run / "run.json", "")
    write_sealed(run / "run.json", asked | {"data": asked["data"] | {"path": str(tmp_path / "gone.h5")}})
    with pytest.raises(UsageError, match=r"gone\.h5, which .* was begun with, no longer exists. .* with --data"):
        resume(run, None, TrainingProgress())
    shutil.copy(tiny, tmp_path / "moved.h5")
    assert digests(resume(run, ResumeRequest(data=tmp_path / "moved.h5"), TrainingProgress())) == undisturbed


def test_a_run_json_without_a_checksum_is_told(run: Path, capsys: Captured) -> None:
    write_json(run / "run.json", read_sealed(run / "run.json", ""))
    resume(run, None, TrainingProgress())
    assert "run.json has no checksum; it is used as it is" in " ".join(capsys.readouterr().err.split())


def test_a_finished_run_is_used_whole_or_not_at_all(tiny: Path, tmp_path: Path) -> None:
    """Files of another run that fit are found by their SHA-256, lost ones are not left out."""
    runs = [go(tiny, tmp_path / str(seed), recipe=RECIPE.override({"epochs": 1}), seed=seed) for seed in (0, 1)]
    file = runs[0].domain("boats")
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(VerificationError, match=r"boats\.safetensors is missing, though .*run\.json names it"):
        load(runs[0], runs[0].read(), torch.device("cpu"))
    file.write_bytes(kept)
    shutil.copy(runs[1].folder / "run.json", runs[0].folder)
    with pytest.raises(VerificationError, match=r"is not the file that run\.json lists"):
        load(runs[0], runs[0].read(), torch.device("cpu"))


@pytest.mark.parametrize("wrong", [{"seed": 10**20}, {"threads": 5000}])
def test_what_could_not_be_read_again_is_not_trained(
    tiny: Path, tmp_path: Path, wrong: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: wrong.get("threads", 1))
    with pytest.raises(UsageError, match=r"this run cannot be recorded \((seed|threads) is"):
        go(tiny, tmp_path / "run", seed=wrong.get("seed", 0))
    assert not (tmp_path / "run").exists()
