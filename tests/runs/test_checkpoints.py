"""Two generations of checkpoints: whatever becomes of the newest, a run ends in the same bits or says why not."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.errors import DataError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.runs.checkpoints import Checkpoints
from decathlon.runs.run_directory import Run
from decathlon.system.files import write_bytes
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors
from decathlon.training import loop
from tests.helpers.marks import quickly
from tests.helpers.runs import RECIPE, digests, dying_at, go

ONE = RECIPE.override({"epochs": 4})
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of a run that nothing happened to: two loop, four epochs of three steps each."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return digests(go(tiny, folder, "scratch", recipe=ONE, domains=("apples", "towers")))


@pytest.fixture(scope="module", params=[11, 14, 17], ids=["first-job", "between-jobs", "second-job"])
def dead(request: Any, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that died at a step, with checkpoints of the last two epochs before."""
    folder = tmp_path_factory.mktemp("runs") / "dead"
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, request.param):
        go(tiny, folder, "scratch", recipe=ONE, domains=("apples", "towers"))
    return Run(folder)


def flip(where: Callable[[bytes], int]) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[where(bytes(data))] ^= 1
        path.write_bytes(data)

    return damage


def cut(part: float) -> Damage:
    return lambda path: os.truncate(path, int(path.stat().st_size * part))


DAMAGE: dict[str, Damage] = {
    "header-length": flip(lambda data: 0),
    "header": flip(lambda data: 20),
    "step": flip(lambda data: data.index(b'step\\": ') + len(b'step\\": ')),
    "job": flip(lambda data: data.index(b'job\\": ') + len(b'job\\": ')),
    "seal": flip(lambda data: data.index(b"all:") + 12),
    "name-of-the-seal": flip(lambda data: data.index(b"all:")),
    "tensors": flip(lambda data: len(data) // 2),
    "last-byte": flip(lambda data: len(data) - 1),
    "cut": cut(0.6),
    "empty": cut(0.0),
    "removed": Path.unlink,
}


def again(run: Run) -> Run:
    return resume(run.folder, None, TrainingProgress())


def copied(run: Run, folder: Path) -> Run:
    return Run(Path(shutil.copytree(run.folder, folder)))


STATE: dict[str, Any] = {"job": 0, "finished": {}, "optimizer": {}, "groups": [[]]}


@pytest.mark.parametrize("damage", quickly(DAMAGE, "header", "tensors", "cut", "removed"))
def test_a_damaged_newest_checkpoint_costs_time_but_no_bit(
    dead: Run, tmp_path: Path, whole: dict[str, str], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    run = copied(dead, tmp_path / "run")
    DAMAGE[damage](run.checkpoint)
    assert digests(again(run)) == whole
    said = " ".join(capsys.readouterr().err.split())
    what = "checkpoint.safetensors is missing" if damage == "removed" else "checkpoint.safetensors is damaged"
    assert f"Warning: {what}. Resuming from the one before it, checkpoint-1.safetensors" in said
    assert not list(run.folder.glob("*checkpoint*"))


def test_whole_checkpoints_are_two_and_used_without_a_word(
    dead: Run, tmp_path: Path, whole: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(dead, tmp_path / "run")
    newer, older = (read_tensors(path)[1] for path in (run.checkpoint, run.older_checkpoint))
    assert (newer["job"], newer["step"]) > (older["job"], older["step"]) and newer["metrics"] > older["metrics"]
    assert digests(again(run)) == whole
    assert "Warning" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "removed"])
def test_two_damaged_checkpoints_are_refused_by_name(dead: Run, tmp_path: Path, damage: str) -> None:
    run = copied(dead, tmp_path / "run")
    for path in (run.checkpoint, run.older_checkpoint):
        DAMAGE[damage](path)
    before = digests(run)
    with pytest.raises(
        VerificationError, match=r"\(checkpoint\.s\w+ is damaged and checkpoint-1\.s\w+ is damaged\)"
    ) as one:
        again(run)
    assert "remove the checkpoints and metrics.jsonl and resume" in str(one.value) and "\n" not in str(one.value)
    assert digests(run) == before  # metrics too


def test_the_remedy_works(dead: Run, tmp_path: Path, whole: dict[str, str]) -> None:
    run = copied(dead, tmp_path / "run")
    cut(0.5)(run.checkpoint)
    run.older_checkpoint.unlink()
    with pytest.raises(VerificationError, match=r"no usable checkpoint .*\(checkpoint\.safetensors is damaged\)"):
        again(run)
    run.checkpoint.unlink()
    with pytest.raises(VerificationError, match="has lost its checkpoints. Restore a copy, or remove"):
        again(run)
    run.metrics.unlink()
    assert digests(again(run)) == whole


def test_a_damaged_checkpoint_never_takes_the_place_of_the_whole_older_one(tmp_path: Path) -> None:
    """Else a kill before the next one is there would leave a damaged one alone."""
    run = Run(tmp_path)
    for step in (1, 2):
        Checkpoints(run, "begun").write({"a": torch.ones(3)}, STATE | {"step": step})
    flip(lambda data: len(data) - 1)(run.checkpoint)
    generations = Checkpoints(run, "begun")
    found = generations.read(print)
    assert found is not None and found[1]["step"] == 1
    kept = []
    for step in (3, 4):
        generations.write({"a": torch.ones(3)}, STATE | {"step": step})
        kept.append(read_tensors(run.older_checkpoint)[1]["step"])
    assert kept == [1, 3]


@pytest.mark.parametrize("moment", quickly(range(6), 1, 3))
def test_dying_inside_a_rotation_leaves_a_whole_checkpoint(
    tiny: Path, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Before and after each renaming of a third checkpoint; what would tidy up afterwards is left out too."""
    run, left = Run(tmp_path / "run"), tmp_path / "left"
    real, moments = os.replace, iter(range(100))

    def look(path: Any) -> None:
        third = run.older_checkpoint.exists() and read_tensors(run.older_checkpoint)[1]["step"] >= 3
        if Path(path).name.startswith("checkpoint") and third and next(moments) == moment:
            shutil.copytree(run.folder, left)
            raise OSError("the machine died")

    def replace(source: Any, target: Any) -> None:
        look(target)
        real(source, target)
        look(target)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(os, "replace", replace)
        go(tiny, run.folder, "scratch", recipe=ONE, domains=("apples", "towers"))
    there = [path for path in (Run(left).checkpoint, Run(left).older_checkpoint) if path.exists()]
    steps = [read_tensors(path)[1]["step"] for path in there]
    assert steps and steps[0] == max(steps)
    assert digests(again(Run(left))) == whole


def test_a_run_that_died_after_its_last_word_is_tidied(
    tiny: Path, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(loop, "remove_state", lambda run: None)
        run = go(tiny, tmp_path / "run", "scratch", recipe=ONE, domains=("apples", "towers"))
    assert run.checkpoint.exists() and run.older_checkpoint.exists() and run.start.exists()
    assert digests(again(run)) == whole


@pytest.mark.slow
def test_of_300_flipped_bits_none_is_used(dead: Run, tmp_path: Path) -> None:
    data = dead.checkpoint.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    choose = random.Random(0)
    places = [choose.randrange(8 * header) for _ in range(150)]
    places += [choose.randrange(8 * header, 8 * len(data)) for _ in range(150)]
    path, used = tmp_path / "checkpoint", []
    write_bytes(path, data)
    read_tensors(path)  # the control: unharmed it is read
    for place in places:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read_tensors(path)
        except (DataError, VerificationError):
            continue
        used.append(place)
    assert not used
