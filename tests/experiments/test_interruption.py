"""SIGINT and SIGTERM while training: the step ends, the state is saved, and the resumed run has the same bits."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decathlon.cli.main import main
from decathlon.errors import DivergedError
from decathlon.experiments.resume import resume
from decathlon.experiments.seeds import resume_seeds
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import Group, find_group
from decathlon.system.progress import TrainingProgress
from decathlon.system.signals import held, terminable
from decathlon.system.tensor_files import read_tensors
from decathlon.training import loop
from decathlon.training.trainer import Trainer
from tests.helpers.marks import quickly, slow
from tests.helpers.runs import RECIPE, digests, go

EPOCHS = RECIPE.override({"epochs": 2})
SIGNALS = [signal.SIGINT, signal.SIGTERM]
both = pytest.mark.parametrize("number", quickly(SIGNALS, signal.SIGTERM), ids=["SIGINT", "SIGTERM"])
OPTIONS = "--method scratch --trunk wrn-10-1 --epochs 3 --batch 8 --size 16 --lr 0.05 --precision fp32".split()
JOBS = ["apples", "towers"]  # two jobs of nine steps, three an epoch

# training that waits in a step for a file: signals then come at a known moment
WAITING = """
import sys, time
from pathlib import Path
from decathlon.cli.main import main
from decathlon.training.trainer import Trainer
real, taken, step = Trainer.advance, iter(range(10**6)), int(sys.argv.pop(1))
def waiting(trainer):
    seen = real(trainer)
    if next(taken) == step:
        Path("reached").touch()
        while not Path("go").exists():
            time.sleep(0.01)
    return seen
Trainer.advance = waiting
main()
"""


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the run that the commands of this file ask for, without any signal."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("whole")
        code, _ = decathlon(monkeypatch, None, "train", *JOBS, "--data", tiny, *OPTIONS, "-o", folder / "run")
    assert code == 0
    return digests(Run(folder / "run"))


def decathlon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str] | None, *words: object
) -> tuple[Any, str]:
    """Run the command in this process; return its exit code and what it said at the end."""
    monkeypatch.setattr(sys, "argv", ["decathlon", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr().err if capsys else ""


def signalling(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, at: int = 0) -> None:
    """Send this process a signal when a function is entered for the time `at`, counted from 0."""
    real, calls = getattr(owner, name), iter(range(10**6))

    def patched(*args: Any, **options: Any) -> Any:
        if next(calls) == at:
            os.kill(os.getpid(), number)
        return real(*args, **options)

    monkeypatch.setattr(owner, name, patched)


def finished(folder: Path) -> dict[str, str]:
    return digests(resume(folder, None, TrainingProgress()))


@pytest.mark.parametrize("at", quickly([0, 1, 2, 8, 9, 13, 17], 0, 9))
@both
def test_the_step_ends_the_state_is_saved_and_the_end_is_the_same(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    whole: dict[str, str], number: signal.Signals, at: int,
) -> None:  # fmt: skip
    run, before = Run(tmp_path / "a run"), [signal.getsignal(each) for each in SIGNALS]
    with monkeypatch.context() as patched:
        signalling(patched, Trainer, "advance", number, at)
        words = ("train", *JOBS, "--data", tiny, *OPTIONS, "-o", run.folder)
        code, said = decathlon(patched, capsys, *words)
    assert code == 128 + number
    assert (
        said.endswith(f"Error: interrupted. Continue with: {told(run.folder)}\n") and said.count("interrupted") == 1
    )
    state = read_tensors(run.checkpoint)[1]
    assert 9 * state["job"] + state["step"] == at + 1  # this very step was the last
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert finished(run.folder) == whole  # the lock is free


def told(folder: Path) -> str:
    return shlex.join(["decathlon", "train", "--resume", "-o", str(folder)])


@both
def test_a_validation_is_waited_for(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    whole: dict[str, str], number: signal.Signals,
) -> None:  # fmt: skip
    run = Run(tmp_path / "run")
    with monkeypatch.context() as patched:
        signalling(patched, loop, "evaluate", number, 1)
        code, _ = decathlon(patched, capsys, "train", *JOBS, "--data", tiny, *OPTIONS, "-o", run.folder)
    assert code == 128 + number
    assert len(run.metrics.read_text().splitlines()) == 2 and read_tensors(run.checkpoint)[1]["step"] == 6
    assert finished(run.folder) == whole


@pytest.mark.parametrize(
    ("name", "at", "said"),
    [("read_options", 0, "training began; there is nothing to save yet. Run the same command again"),
     slow("load_pool", 0, "the first step; there is nothing to save yet. Start again with: {again}\n"),
     slow("load_pool", 2, ". Continue with: {again}\n"), ("_finish", 0, ". Continue with: {again}\n"),
     slow("_finish", 1, ". Continue with: {again}\n"), slow("remove_state", 0, ". Continue with: {again}\n")],
)  # fmt: skip
@both
def test_outside_the_steps_it_ends_at_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    whole: dict[str, str], number: signal.Signals, name: str, at: int, said: str,
) -> None:  # fmt: skip
    from decathlon.models import registry

    run = Run(tmp_path / "run")
    words = ("train", *JOBS, "--data", tiny, *OPTIONS, "-o", run.folder)
    with monkeypatch.context() as patched:
        signalling(patched, registry if name == "read_options" else loop, name, number, at)
        code, heard = decathlon(patched, capsys, *words)
    assert code == 128 + number and said.format(again=told(run.folder)) in heard
    if name == "read_options":
        assert not run.folder.exists() and decathlon(monkeypatch, None, *words)[0] == 0
    assert finished(run.folder) == whole
    assert not list(run.folder.glob("*checkpoint*")) and not run.start.exists()


@both
def test_a_resumed_run_is_interrupted_as_well(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, str], number: signal.Signals
) -> None:
    words: tuple[object, ...] = ("train", *JOBS, "--data", tiny, *OPTIONS, "-o", tmp_path / "run")
    for _ in range(3):
        with monkeypatch.context() as patched:
            signalling(patched, Trainer, "advance", number, 4)
            assert decathlon(patched, None, *words)[0] == 128 + number
        words = ("train", "--resume", "-o", tmp_path / "run")
    assert finished(tmp_path / "run") == whole


@both
def test_a_group_is_interrupted_as_a_whole(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:  # fmt: skip
    words = ("train", "apples", "--data", tiny, *OPTIONS, "--seeds", 2, "-o")
    assert decathlon(monkeypatch, capsys, *words, tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patched:
        signalling(patched, Trainer, "advance", number, 13)
        code, said = decathlon(patched, capsys, *words, tmp_path / "group")
    assert code == 128 + number and said.endswith(f"interrupted. Continue with: {told(tmp_path / 'group')}\n")
    group = find_group(tmp_path / "group")
    assert group is not None and read_tensors(Run(group.runs[1]).checkpoint)[1]["step"] == 5
    resume_seeds(group, None, TrainingProgress())
    assert each_digest(group) == each_digest(Group(tmp_path / "whole", group.seeds, {}))


def each_digest(group: Group) -> list[dict[str, str]]:
    return [digests(Run(folder)) for folder in group.runs.values()]


def test_a_signal_beside_a_diverging_loss_ends_a_group_too(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverging(trainer: Trainer) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        raise DivergedError("the loss became nan")

    monkeypatch.setattr(Trainer, "advance", diverging)
    words = ("train", "apples", "--data", tiny, *OPTIONS, "--seeds", 2, "-o", tmp_path / "group")
    assert decathlon(monkeypatch, capsys, *words)[0] == 143
    assert not (tmp_path / "group" / "seed-1").exists()


def test_training_in_another_thread_sets_no_handlers(tiny: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    before = [signal.getsignal(number) for number in SIGNALS]

    def work() -> None:
        with terminable(), held() as hold:
            seen.append((bool(hold), [signal.getsignal(number) for number in SIGNALS]))
        seen.append((done := go(tiny, tmp_path / "run", domains=("apples",))).trained_domains(done.read()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before), ["apples"]]


def test_what_is_ignored_stays_ignored_and_what_is_handled_is_handed_on() -> None:
    heard: list[int] = []
    old = [signal.signal(signal.SIGINT, signal.SIG_IGN)]
    old.append(signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number)))
    try:
        with held() as hold:
            os.kill(os.getpid(), signal.SIGINT)
            assert not hold
            os.kill(os.getpid(), signal.SIGTERM)
            assert hold and not heard
        assert heard == [signal.SIGTERM]
    finally:
        for number, handler in zip(SIGNALS, old, strict=True):
            signal.signal(number, handler)


def test_an_ignored_sigterm_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def waiting(folder: Path, step: int, *words: object) -> subprocess.Popen[str]:
    """Start training in `folder` and return when its process waits inside a step, counted from 0."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(step), *map(str, words)],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until((folder / "reached").exists, process)
    return process


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.mark.slow
@both
def test_a_process_saves_and_says_how_to_go_on(
    tiny: Path, tmp_path: Path, whole: dict[str, str], number: signal.Signals
) -> None:
    process = waiting(tmp_path, 10, "train", *JOBS, "--data", tiny, *OPTIONS, "-o", "run")
    process.send_signal(number)
    (tmp_path / "go").touch()
    said = process.communicate()[1]
    assert process.returncode == 128 + number
    assert said.endswith("Error: interrupted. Continue with: decathlon train --resume -o run\n")
    assert "Traceback" not in said and read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 2
    assert finished(tmp_path / "run") == whole


@pytest.mark.slow
@pytest.mark.parametrize("second", SIGNALS, ids=["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_a_process_at_once(
    tiny: Path, tmp_path: Path, whole: dict[str, str], second: signal.Signals
) -> None:
    """It is in the middle of a step that never ends; the checkpoint of the epoch before stays valid."""
    process = waiting(tmp_path, 13, "train", *JOBS, "--data", tiny, *OPTIONS, "-o", "run")
    process.send_signal(signal.SIGINT)
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        process.kill()
        pytest.skip("no /proc to see by that the first signal was taken")
    until(lambda: not 2 & int(status.read_text().split("SigCgt:")[1].split()[0], 16), process)
    process.send_signal(second)
    process.communicate(timeout=20)
    assert process.returncode == -second
    assert read_tensors(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 3
    assert finished(tmp_path / "run") == whole


@pytest.mark.slow
def test_a_process_whose_folder_was_renamed_ends_and_spoils_no_other_run(
    tiny: Path, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "train", *JOBS, "--data", tiny, *OPTIONS, "-o"
    process = waiting(tmp_path, 10, *words, "run")
    (tmp_path / "run").rename(tmp_path / "renamed")
    assert decathlon(monkeypatch, None, *words, tmp_path / "run")[0] == 0
    (tmp_path / "go").touch()
    said = process.communicate()[1]
    assert process.returncode == 5 and "Error: run was renamed or removed while this process worked on it" in said
    assert digests(Run(tmp_path / "run")) == whole == finished(tmp_path / "renamed")
