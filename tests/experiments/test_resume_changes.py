"""Another value than a run was begun with is refused by name, or meant and written down."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.cli.main import main
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.inference.predict import predict_run
from decathlon.runs.record import RecordedChange
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import read_results
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.progress import TrainingProgress
from decathlon.training.trainer import Trainer
from tests.helpers.packs import COUNTS, write_pack
from tests.helpers.runs import RECIPE, digests, dying_at, go

Captured = pytest.CaptureFixture[str]
BEGUN = "--method bn --trunk wrn-10-1 --epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32 --threads 1".split()


def decathlon(monkeypatch: pytest.MonkeyPatch, capsys: Captured, *words: object) -> tuple[Any, str]:
    monkeypatch.setattr(sys, "argv", ["decathlon", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(str(end.value.code)), " ".join(capsys.readouterr().err.split())


def test_the_command_it_was_begun_with_resumes_it(
    run: Path,
    tiny: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    code, _ = decathlon(monkeypatch, capsys, "train", "--data", tiny, *BEGUN, "-o", run, "--resume")
    assert code == 0 and digests(Run(run)) == undisturbed and not Run(run).read().changes


REFUSED = {
    "lr 0.05, not 0.1. Leave out --lr, or add --allow-change": "--lr 0.1",
    "batch 8, not 16. Leave out --batch, or train a new run": "--batch 16",
    "epochs 3, not 4. Leave out --epochs, or train a new run": "--epochs 4",
    "augment true, not false. Leave out --augment, or add": "--no-augment",
    "size 16, not 24. Leave out --size, or add": "--size 24",
    "method bn, not mtan. Leave out --method, or train": "--method mtan",
    "seed 0, not 1. Leave out --seed, or train": "--seed 1",
    "regime joint, not frozen. Leave out --freeze or --no-freeze, or train": "--freeze",
    "trunk wrn-10-1, not wrn-16-1. Leave out --trunk, or train": "--trunk wrn-16-1",
    "fit train, not train+val. Leave out --fit, or train": "--fit train+val",
    "domains apples boats towers, not apples. Leave out the domains, or train": "apples",
    "threads 1, not 2. Leave out --threads, or add": "--threads 2",
    "device cpu, not cuda. Leave out --device, or add": "--device cuda",
    "is not a group of runs. Leave out --seeds.": "--seeds 2",
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
    code, said = decathlon(monkeypatch, capsys, "train", "--resume", "-o", run, "--recipe", "sgd", *same)
    assert code == 0, said
    code, said = decathlon(monkeypatch, capsys, "train", "--resume", "-o", run, "--recipe", "sgd")
    assert code == 2 and "has finished training with batch 8, not 64" in said


def test_a_change_that_is_meant_is_written_down(run: Path, undisturbed: dict[str, str]) -> None:
    done = resume(
        run, ResumeRequest(options={"lr": 0.01, "eval_every": 3}, threads=1, allow=True), TrainingProgress()
    )
    record = done.read()
    assert record.recipe.lr == 0.01 and record.status == "done"
    assert record.changes == (RecordedChange("eval_every", 1, 3, 3), RecordedChange("lr", 0.05, 0.01, 3))
    assert digests(done) != undisturbed
    assert digests(resume(run, None, TrainingProgress())) == digests(done)


def test_changes_survive_another_death_and_add_up(run: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dying_at(monkeypatch, 12):
        resume(run, ResumeRequest(options={"lr": 0.01}, allow=True), TrainingProgress())
    with pytest.raises(UsageError, match=r"begun with lr 0\.01, not 0\.05"):
        resume(run, ResumeRequest(options={"lr": 0.05}), TrainingProgress())
    record = resume(run, ResumeRequest(options={"weight_decay": 0.0}, allow=True), TrainingProgress()).read()
    assert [change.name for change in record.changes] == ["lr", "weight_decay"]
    assert record.recipe.lr == 0.01
    predict_run(Run(run), tiny, "test", run / "results.json")
    protocol = read_results(run / "results.json").protocol
    assert protocol is not None and protocol["changed"] == "lr and weight_decay"


def test_the_optimizer_takes_up_a_changed_weight_decay(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its groups are restored from the checkpoint, where the old one stands."""
    seen = list[set[float]]()
    real = Trainer.load_state

    def load(trainer: Trainer, *args: Any) -> None:
        real(trainer, *args)
        seen.append({group["weight_decay"] for optimizer in trainer.optimizers for group in optimizer.param_groups})

    monkeypatch.setattr(Trainer, "load_state", load)
    resume(run, ResumeRequest(options={"weight_decay": 0.25, "momentum": 0.9}, allow=True), TrainingProgress())
    assert seen == [{0.0, 0.25}]


def test_other_images_in_the_same_number_can_be_gone_on_with(run: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "other.h5", counts=COUNTS | {"val": 3})
    with pytest.raises(UsageError, match=r"begun with data .*tiny\.h5 \(\w+\), not .*other\.h5 .*--allow-change"):
        resume(run, ResumeRequest(data=other), TrainingProgress())
    record = resume(run, ResumeRequest(data=other, allow=True), TrainingProgress()).read()
    assert record.data.path == other and record.changes[0].name == "data"


def test_other_images_in_another_number_are_refused(run: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "other.h5", counts=COUNTS | {"train": 25})
    with pytest.raises(UsageError, match="Leave out --data, or train a new run"):
        resume(run, ResumeRequest(data=other, allow=True), TrainingProgress())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_run_of_a_machine_with_a_gpu_can_be_gone_on_with_on_one_without(run: Path) -> None:
    write_sealed(run / "run.json", read_sealed(run / "run.json", "") | {"device": "cuda"})
    with pytest.raises(UsageError, match=r"begun on cuda, which .* does not have. Add --device cpu --allow-change"):
        resume(run, None, TrainingProgress())
    record = resume(run, ResumeRequest(device="cpu", allow=True), TrainingProgress()).read()
    assert record.status == "done" and record.device == "cpu" and record.changes[0].name == "device"


@pytest.mark.parametrize("options", [{"size": 24}, {"side": 20}, {"crop": "full"}])
def test_what_finished_domains_are_fed_can_change_no_more(
    half: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    own = Path(shutil.copytree(half, tmp_path / "run"))
    with pytest.raises(UsageError, match="train a new run under another name"):
        resume(own, ResumeRequest(options=options, allow=True), TrainingProgress())


def test_what_training_refuses_is_refused_on_resuming(run: Path) -> None:
    options = {"cache_taps": 1.0, "augment": False}
    with pytest.raises(UsageError, match="method 'bn' has no taps to cache"):
        resume(run, ResumeRequest(options=options, allow=True), TrainingProgress())
    assert not Run(run).read().changes


def test_a_trunk_may_be_named_in_another_way(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = go(tiny, tmp_path / "trunk", recipe=RECIPE.override({"epochs": 1}), domains=("apples",))
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "over", "parallel", trunk=str(trunk.folder), domains=("apples",))
    monkeypatch.chdir(tmp_path)
    assert (
        resume(tmp_path / "over", ResumeRequest(fields={"trunk": "trunk"}), TrainingProgress()).read().status
        == "done"
    )
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "split", "split", options={"preset": "wide"}, domains=("apples",))
    again = ResumeRequest(fields={"trunk": "wrn-10-1", "options": {"preset": "wide"}})
    assert resume(tmp_path / "split", again, TrainingProgress()).read().trunk.name == "wrn-10-2"


def test_every_difference_is_named_with_its_own_option(run: Path) -> None:
    with pytest.raises(UsageError) as one:
        again = ResumeRequest(
            recipe=RECIPE.override({"batch": 16, "lr": 0.2, "size": 24}), options={"lr": 0.2}, allow=True
        )
        resume(run, again, TrainingProgress())
    assert "batch 8, not 16. Leave out --recipe, or train a new run" in str(one.value)
    with pytest.raises(UsageError, match=r"lr 0\.05, not 0\.2; size 16, not 24. Leave out --lr and --size, or add"):
        resume(run, ResumeRequest(options={"lr": 0.2, "size": 24}), TrainingProgress())


def test_a_size_takes_along_what_depends_on_it_or_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a run would go on at one size and be evaluated at another without a word."""
    recipe = RECIPE.override({"side": 20, "eval_size": 20})
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "run", recipe=recipe)
    run = resume(tmp_path / "run", ResumeRequest(options={"size": 24}, allow=True), TrainingProgress())
    new = run.read().recipe
    assert (new.size, new.side, new.eval_size) == (24, 0, 0)
    assert [change.name for change in run.read().changes] == ["eval_size", "side", "size"]
    own = RECIPE.override({"domains": {"boats": {"size": 24}}})
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "own", recipe=own)
    with pytest.raises(UsageError, match="begun with domains .* Leave out --size"):
        resume(tmp_path / "own", ResumeRequest(options={"size": 32}, allow=True), TrainingProgress())
