"""What a run directory refuses that other tests do not meet: each in one sentence, with nothing made or changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.errors import BusyError, UsageError, VerificationError
from decathlon.experiments import launch, seeds
from decathlon.experiments.resume import resume
from decathlon.experiments.resume_changes import ResumeRequest
from decathlon.experiments.seeds import train_seeds
from decathlon.runs.initial_state import read_start
from decathlon.runs.loading import load
from decathlon.runs.record import RecordedTrunk
from decathlon.runs.run_directory import Run, hold
from decathlon.runs.seed_group import Group
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.files import sha256
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors, write_tensors
from tests.helpers.runs import ASKED, RECIPE, go, request


def test_a_file_is_no_folder_for_a_run(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(UsageError, match="is a file. Name a folder to create"):
        go(tiny, tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_run_that_another_process_began_meanwhile_is_left_to_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name was free when the command began, and is taken when it has the lock."""
    real = hold

    def late(run: Run) -> Any:
        (run.folder / "run.json").write_text("another's")
        return real(run)

    monkeypatch.setattr(launch, "hold", late)
    with pytest.raises(UsageError, match="already exists. Choose another name, or continue it with --resume"):
        go(tiny, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
    assert (tmp_path / "run" / "run.json").read_text() == "another's"


def test_a_group_that_another_process_began_meanwhile_is_left_to_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = seeds._hold

    def late(folder: Path) -> Any:
        (folder / "seed-0").mkdir()
        (folder / "seed-0" / "run.json").write_text("another's")
        return real(folder)

    with monkeypatch.context() as patched:
        patched.setattr(seeds, "_hold", late)
        with pytest.raises(UsageError, match="already exists"):
            train_seeds(request(tiny, tmp_path / "group"), 2, TrainingProgress())
    assert not (tmp_path / "group" / "seeds.json").exists()
    held = tmp_path / "held"
    held.mkdir()
    with seeds._hold(held), pytest.raises(BusyError, match="held is being trained by process"):
        train_seeds(request(tiny, held), 2, TrainingProgress())
    assert not (held / "seeds.json").exists()


def test_seeds_that_could_not_be_read_again_are_not_trained(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be recorded \(seeds\[1\] is"):
        train_seeds(request(tiny, tmp_path / "group", seed=2**63 - 1), 2, TrainingProgress())
    assert not (tmp_path / "group").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "x.h5", "--method", "bn", "--allow-change"], "--allow-change needs --resume"),
        (["--resume", "--lr", "0.1"], "continues a group as it was begun. Leave out --lr"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, words: list[str], message: str) -> None:
    Group(tmp_path / "group", (0, 1), ASKED).write()
    outcome = CliRunner().invoke(command, ["train", *words, "-o", str(tmp_path / "group")])
    assert outcome.exit_code == 2 and message in outcome.output


def test_a_run_of_a_group_is_not_changed_alone(run: Path, tmp_path: Path) -> None:
    group = Group(tmp_path / "group", (0,), ASKED)
    group.write()
    shutil.copytree(run, group.runs[0])
    with pytest.raises(
        UsageError, match="belongs to the group .*, whose runs must be alike. Copy it to another folder"
    ):
        resume(group.runs[0], ResumeRequest(options={"lr": 0.01}, allow=True), TrainingProgress())


def test_a_start_must_be_the_one_of_its_request(run: Path) -> None:
    record = Run(run).read()
    assert read_start(Run(run), record, torch.device("cpu")).trunk.name == "wrn-10-1"
    with pytest.raises(VerificationError, match="starts from another trunk than run.json says"):
        read_start(Run(run), replace(record, trunk=RecordedTrunk("wrn-16-1")), torch.device("cpu"))


def test_a_start_that_lacks_a_tensor_is_refused(run: Path) -> None:
    tensors, about = read_tensors(Run(run).start)
    tensors.pop(min(tensors))  # torch makes up for a lost num_batches_tracked, a count that nothing reads
    write_tensors(Run(run).start, tensors, about)
    record = replace(Run(run).read(), start=sha256(Run(run).start))
    with pytest.raises(VerificationError, match="does not fit wrn-10-1"):
        read_start(Run(run), record, torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domain": "boats"}, "holds domain boats. Restore its own file"),
        ({"method": "mtan"}, "holds method mtan"),
        ({"categories": [1, 2]}, "has other categories than run.json says"),
    ],
)
def test_a_domains_file_must_be_the_one_of_its_request(
    tiny: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    done = go(tiny, tmp_path / "run", recipe=RECIPE.override({"epochs": 1}), domains=("apples",))
    tensors, about = read_tensors(done.domain("apples"))
    write_tensors(done.domain("apples"), tensors, about | change)
    asked = read_sealed(done.folder / "run.json", "")
    asked.pop("files")  # the SHA-256 of the files, which would find it too
    write_sealed(done.folder / "run.json", asked)
    with pytest.raises(VerificationError, match=message):
        load(done, done.read(), torch.device("cpu"))
