"""Resuming takes a run up as it was begun; another value is refused by name, or meant and written down."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon import resume as resuming
from decathlon.changes import Again
from decathlon.cli.main import main
from decathlon.errors import DivergedError, UsageError, VerificationError
from decathlon.files import write_json
from decathlon.job import Job
from decathlon.predict import predict_run
from decathlon.progress import TrainingProgress
from decathlon.results import read_results
from decathlon.resume import resume
from decathlon.run import Run
from decathlon.sealed import read_sealed, write_sealed
from decathlon.storage import read_tensors, write_tensors
from tests.packs import COUNTS, write_pack
from tests.runs import RECIPE, digests, dying_at, go, request

Captured = pytest.CaptureFixture[str]
BEGUN = "--method bn --trunk wrn-10-1 --epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32 --threads 1".split()


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return digests(go(tiny, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def dead(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of nine steps an epoch that died after the first of the second."""
    folder = tmp_path_factory.mktemp("dead") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, folder)
    return folder


@pytest.fixture
def run(dead: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dead, tmp_path / "run"))


def decathlon(monkeypatch: pytest.MonkeyPatch, capsys: Captured, *words: object) -> tuple[Any, str]:
    monkeypatch.setattr(sys, "argv", ["decathlon", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code)), " ".join(capsys.readouterr().err.split())


def test_the_command_it_was_begun_with_resumes_it(
    run: Path,
    tiny: Path,
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    code, _ = decathlon(monkeypatch, capsys, "train", "--data", tiny, *BEGUN, "-o", run, "--resume")
    assert code == 0 and digests(Run(run)) == whole and "changes" not in Run(run).read()


REFUSED = {
    "lr 0.05, not 0.1: leave out --lr, or add --allow-change": "--lr 0.1",
    "batch 8, not 16: leave out --batch, or train a new run": "--batch 16",
    "epochs 3, not 4: leave out --epochs, or train a new run": "--epochs 4",
    "augment true, not false: leave out --augment, or add": "--no-augment",
    "size 16, not 24: leave out --size, or add": "--size 24",
    "method bn, not mtan: leave out --method, or train": "--method mtan",
    "seed 0, not 1: leave out --seed, or train": "--seed 1",
    "regime joint, not frozen: leave out --freeze or --no-freeze, or train": "--freeze",
    "trunk wrn-10-1, not wrn-16-1: leave out --trunk, or train": "--trunk wrn-16-1",
    "fit train, not train+val: leave out --fit, or train": "--fit train+val",
    "domains apples boats towers, not apples: leave out the domains, or train": "apples",
    "threads 1, not 2: leave out --threads, or add": "--threads 2",
    "device cpu, not cuda: leave out --device, or add": "--device cuda",
    "is no group of runs: leave out --seeds.": "--seeds 2",
    "unknown optimizer": "--optimizer sdg",
}


@pytest.mark.parametrize("message", REFUSED)
def test_another_value_is_refused_by_name_and_nothing_changes(
    run: Path, message: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, said = decathlon(monkeypatch, capsys, "train", "--resume", "-o", run, *REFUSED[message].split())
    assert code == 2 and message in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_whole_recipe_is_compared_knob_by_knob(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    same = "--epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32".split()
    code, said = decathlon(monkeypatch, capsys, "train", "--resume", "-o", run, "--recipe", "common", *same)
    assert code == 0, said
    code, said = decathlon(monkeypatch, capsys, "train", "--resume", "-o", run, "--recipe", "common")
    assert code == 2 and "is trained to the end with batch 8, not 64" in said


def test_a_change_that_is_meant_is_written_down(run: Path, whole: dict[str, str]) -> None:
    done = resume(run, Again(knobs={"lr": 0.01, "eval_every": 3}, threads=1, allow=True), TrainingProgress())
    asked = done.read()
    assert asked["recipe"]["lr"] == 0.01 and asked["status"] == "done"
    assert asked["changes"] == [
        {"name": "eval_every", "before": 1, "now": 3, "after_lines": 3},
        {"name": "lr", "before": 0.05, "now": 0.01, "after_lines": 3},
    ]
    assert digests(done) != whole
    assert digests(resume(run, None, TrainingProgress())) == digests(done)


def test_changes_survive_another_death_and_add_up(run: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dying_at(monkeypatch, 12):
        resume(run, Again(knobs={"lr": 0.01}, allow=True), TrainingProgress())
    with pytest.raises(UsageError, match=r"begun with lr 0\.01, not 0\.05"):
        resume(run, Again(knobs={"lr": 0.05}), TrainingProgress())
    asked = resume(run, Again(knobs={"weight_decay": 0.0}, allow=True), TrainingProgress()).read()
    assert [change["name"] for change in asked["changes"]] == ["lr", "weight_decay"]
    assert asked["recipe"]["lr"] == 0.01
    predict_run(Run(run), tiny, "test", run / "results.json")
    protocol = read_results(run / "results.json").protocol
    assert protocol is not None and protocol["changed"] == "lr and weight_decay"


def test_the_optimizer_takes_up_a_changed_weight_decay(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its groups are restored from the checkpoint, where the old one stands."""
    seen = list[set[float]]()
    real = Job.load_state

    def load(job: Job, *args: Any) -> None:
        real(job, *args)
        seen.append({group["weight_decay"] for optimizer in job.optimizers for group in optimizer.param_groups})

    monkeypatch.setattr(Job, "load_state", load)
    resume(run, Again(knobs={"weight_decay": 0.25, "momentum": 0.9}, allow=True), TrainingProgress())
    assert seen == [{0.0, 0.25}]


def test_other_images_in_the_same_number_can_be_gone_on_with(run: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "other.h5", counts=COUNTS | {"val": 3})
    with pytest.raises(UsageError, match=r"begun with data .*tiny\.h5 \(\w+\), not .*other\.h5 .*--allow-change"):
        resume(run, Again(data=other), TrainingProgress())
    asked = resume(run, Again(data=other, allow=True), TrainingProgress()).read()
    assert asked["data"]["path"] == str(other) and asked["changes"][0]["name"] == "data"


def test_another_release_is_told(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(resuming, "versions", lambda: {"torch": "9.9", "processor": "ABACUS"})
    resume(run, None, TrainingProgress())
    said = " ".join(capsys.readouterr().err.split())
    assert f"begun with torch {torch.__version__}, now it is 9.9: the last bits may differ" in said
    assert "now it is ABACUS" in said


def test_a_diverged_run_goes_on_from_its_last_good_state(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    real = Job.advance
    with monkeypatch.context() as patched:
        patched.setattr(Job, "advance", lambda job: _poisoned(job) if job.step == 20 else real(job))
        with pytest.raises(DivergedError):
            resume(run, None, TrainingProgress())
    assert Run(run).read()["status"] == "diverged"
    tensors, values = read_tensors(Run(run).checkpoint)
    assert values["step"] == 18 and all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    with monkeypatch.context() as patched:
        patched.setattr(Job, "advance", lambda job: _poisoned(job) if job.step == 20 else real(job))
        with pytest.raises(DivergedError):
            resume(run, None, TrainingProgress())
    assert "going on from its last good state, where it did: add a smaller --lr or" in " ".join(capsys.readouterr().err.split())
    done = resume(run, Again(knobs={"lr": 0.001}, allow=True), TrainingProgress())
    assert done.read()["status"] == "done" and done.read()["changes"][0]["after_lines"] == 6


def _poisoned(job: Job) -> int:
    raise DivergedError("the loss became nan: train with a smaller --lr.")


def test_a_checkpoint_of_another_run_is_not_gone_on_from(run: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "checkpoint.safetensors", run)
    with pytest.raises(VerificationError, match=r"\(checkpoint\.safetensors is another run's\)"):
        resume(run, None, TrainingProgress())


def test_another_start_is_not_gone_on_from(run: Path) -> None:
    tensors, about = read_tensors(Run(run).start)
    write_tensors(Run(run).start, {name: tensor + 1 for name, tensor in tensors.items()}, about)
    with pytest.raises(VerificationError, match=r"start\.safetensors is not what the run began with"):
        resume(run, None, TrainingProgress())


def test_metrics_that_are_not_what_was_written_are_not_built_upon(run: Path, whole: dict[str, str]) -> None:
    text = Run(run).metrics.read_text()
    Run(run).metrics.write_text(text.replace('"train_accuracy": 0.', '"train_accuracy": 1.', 1))
    with pytest.raises(VerificationError, match=r"\(metrics\.jsonl is damaged\)"):
        resume(run, None, TrainingProgress())
    Run(run).metrics.write_text(text + '{"epoch": 2, "torn')  # a line that a kill cut: it was never counted on
    assert digests(resume(run, None, TrainingProgress())) == whole


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_run_of_a_machine_with_a_gpu_can_be_gone_on_with_on_one_without(run: Path) -> None:
    write_sealed(run / "run.json", read_sealed(run / "run.json", "") | {"device": "cuda"})
    with pytest.raises(UsageError, match=r"begun on cuda, which is not here: add --device cpu --allow-change"):
        resume(run, None, TrainingProgress())
    asked = resume(run, Again(device="cpu", allow=True), TrainingProgress()).read()
    assert asked["status"] == "done" and asked["device"] == "cpu" and asked["changes"][0]["name"] == "device"


def test_a_run_json_changed_by_hand_is_refused(run: Path) -> None:
    asked = read_sealed(run / "run.json", "")
    sealed = read_sealed.__globals__["parse_json"]((run / "run.json").read_bytes(), "")
    write_json(run / "run.json", sealed | {"seed": 5})
    with pytest.raises(VerificationError, match=r"run\.json is damaged"):
        resume(run, None, TrainingProgress())
    write_sealed(run / "run.json", asked | {"threads": 3})  # sealed again: it is believed
    assert Run(run).read()["threads"] == 3


def test_a_request_is_begun_with_what_binds_its_checkpoints(tiny: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, tmp_path / "run", recipe=RECIPE)
    asked = Run(tmp_path / "run").read()
    assert read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["begun"] == asked["begun"]
    assert request(tiny, tmp_path).seed == asked["seed"] and len(asked["start"]) == 64
    assert [entry["images"] for entry in asked["domains"]] == [24, 24, 24]
