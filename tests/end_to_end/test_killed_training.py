"""Training that is killed with SIGKILL, over and over, ends in the bits of one that nobody touched."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from decathlon.errors import BusyError
from tests.helpers import kill_points as points
from tests.helpers.killed_training import OPTIONS, Training, killed
from tests.helpers.kills import KILLED, Hook, mean_std
from tests.helpers.runs import RECIPE, go

KILLS = 20
FORCED: list[Hook] = [
    partial(points.inside_write, 0), points.before_first_checkpoint, partial(points.inside_write, 1),
    points.between_renames, points.after_last_step, points.before_done,
]  # fmt: skip


def over_a_trunk(folder: Path, tiny: Path) -> list[object]:
    trunk = go(tiny, folder / "trunk", recipe=RECIPE.override({"epochs": 1}))
    return ["--method", "parallel", "--trunk", trunk.folder]


# Losses are weighted equally, which has no state. Most state is in two optimizers for each job: here torch's and
# adan, which keeps four values for each weight and counts its steps among its options.
KINDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "mtan": lambda *_: ["--method", "mtan", "--trunk", "wrn-10-1"],
    "parallel": over_a_trunk,
    "two-optimizers": lambda *_: ["--method", "piggyback", "--trunk", "wrn-10-1", "--optimizer", "adan"],
}


def trained(kind: str, folder: Path, tiny: Path) -> Training:
    """Return a kind of training of which `whole` has been trained without interruption."""
    training = Training(folder, ["--data", tiny, *OPTIONS, *KINDS[kind](folder, tiny)])
    assert training.go("whole") == 0
    return training


@pytest.fixture(scope="module", params=KINDS)
def training(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return trained(request.param, tmp_path_factory.mktemp(request.param), tiny)


@pytest.mark.slow
@pytest.mark.parametrize("often", [False, True], ids=["checkpoint-an-epoch", "checkpoint-a-step"])
def test_runs_killed_20_times_end_in_the_same_bits(training: Training, often: bool) -> None:
    """Six of the kills are at known points, the others at times spread over as long as a run takes."""
    whole, training = training.digests("whole"), replace(training, hooks=[points.every_step] if often else [])
    began = time.monotonic()
    assert training.go(f"measured-{often}") == 0
    seconds = time.monotonic() - began
    assert training.digests(f"measured-{often}") == whole  # other checkpoints change nothing
    moments, forced = (seconds * part for part in mean_std(5 * KILLS, seed=often)), list(FORCED)
    stages: list[str] = []
    runs = 0
    while len(stages) < KILLS:
        name = f"run-{often}-{runs}"
        stages += killed(training, name, forced[:1], moments, most=runs % 3 + 1)
        assert training.go(name) == 0
        assert training.digests(name) == whole
        forced, runs = forced[1:], runs + 1
    told = ", ".join(f"{many} {stage}" for stage, many in sorted(Counter(stages).items()))
    print(f"\n{len(stages)} kills of {runs} runs, one takes {seconds:.1f} s: {told}")
    saved = [stage for stage in stages if stage.startswith("job")]
    assert not forced and KILLS / 4 <= len(saved) < len(stages) and len(set(stages)) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("remember", [True, False])
def test_forgetting_the_optimizer_is_noticed(training: Training, remember: bool) -> None:
    """The negative control of the test above, and its own."""
    name = f"forgot-{not remember}"
    assert training.go(name, points.every_step, partial(points.at_step, 7)) == KILLED
    assert training.reached(name) == "job 0 step 07"
    assert training.go(name, *([] if remember else [points.forget_optimizer])) == 0
    whole, found = training.digests("whole"), training.digests(name)
    weights = {file for file in whole if file.endswith(".safetensors") and found[file] != whole[file]}
    assert (found == whole) == remember == (not weights) and found.keys() == whole.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "domains"), [("bn", 1), ("scratch", 2)])
def test_a_run_killed_before_any_change_of_the_disk_ends_in_the_same_bits(
    tiny: Path, tmp_path: Path, method: str, domains: int
) -> None:
    """Every flush, renaming and removal of a run, one after the other: where a kill could leave half a change."""
    words = [*("apples", "towers")[:domains], "--data", tiny, *OPTIONS, "--epochs", 1, "--method", method]
    training = Training(tmp_path, [*words, "--trunk", "wrn-10-1"], [points.every_step])
    assert training.go("whole") == 0
    whole, stages = training.digests("whole"), Counter[str]()
    while training.go(name := f"run-{stages.total()}", partial(points.before_change, stages.total())) == KILLED:
        stages[training.reached(name)] += 1
        assert training.go(name) == 0
        assert training.digests(name) == whole
    print(f"\n{stages.total()} kills: {dict(stages)}")
    assert stages.total() > 30 and len(stages) == 2 + 3 * domains


def test_a_run_killed_at_known_points_ends_in_the_same_bits(tiny: Path, tmp_path: Path) -> None:
    """The short form of the above: every time it is killed further on."""
    words = ["apples", "--data", tiny, *OPTIONS, "--method", "bn", "--trunk", "wrn-10-1"]
    training = Training(tmp_path, words)
    assert training.go("whole") == 0
    stages = list(killed(training, "run", FORCED, iter(()), most=0))
    assert stages[:2] == ["before run.json", "before a checkpoint"]
    assert stages[2:] == ["job 0 step 03", "job 0 step 03", "job 0 step 09", "job 0 step 09"]
    assert training.go("run") == 0
    assert training.digests("run") == training.digests("whole")


def test_a_second_trainer_is_turned_away_until_the_first_is_killed(tiny: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, ["apples", "--data", tiny, *OPTIONS, "--method", "bn", "--trunk", "wrn-10-1"])
    assert training.go("whole") == 0
    reached = tmp_path / "reached"
    first = training.start("run", partial(points.at_step, 4, partial(points.wait, reached)))
    first.wait_for(reached.exists)
    second = training.start("run")
    assert second.end() == BusyError.exit_code
    last = second.said().splitlines()[-1]
    assert last.startswith(f"Error: {tmp_path / 'run'} is being trained by ") and last.endswith(".")
    first.kill()
    assert training.reached("run") == "job 0 step 03"
    assert training.go("run") == 0
    assert training.digests("run") == training.digests("whole")
