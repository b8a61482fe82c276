"""`decathlon verify` of what is not finished: runs to go on with, groups with missing runs, and their scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from decathlon.cli.main import command
from decathlon.errors import VerificationError
from decathlon.runs.record import unsafe_names
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import Group
from decathlon.scoring.score import DomainScore, Score
from decathlon.scoring.seed_scores import GroupScore
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.files import read_json, write_json
from tests.helpers.runs import ASKED, RECIPE, dying_at, go


def ask(*words: object) -> Result:
    return CliRunner().invoke(command, ["verify", *map(str, words)])


def told(path: Path) -> str:
    error = ask(path).exception
    assert isinstance(error, VerificationError), error
    return str(error)


@pytest.fixture(scope="module")
def dead(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """Two runs, by seed, that died in their third epoch: with both checkpoints."""
    runs = {}
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp("dead") / "run"
        with pytest.MonkeyPatch.context() as patch, dying_at(patch, 7):
            go(tiny, folder, "bn", recipe=RECIPE, domains=("apples",), seed=seed)
        runs[seed] = Run(folder)
    return runs


@pytest.fixture
def run(dead: dict[int, Run], tmp_path: Path) -> Run:
    return Run(shutil.copytree(dead[0].folder, tmp_path / "run"))


def test_a_run_to_go_on_with_passes(run: Run) -> None:
    assert ask(run.folder).exit_code == 0
    run.checkpoint.unlink()  # the older one is enough, as for resuming
    assert ask(run.folder).exit_code == 0


def drop_start(run: Run, other: Run) -> str:
    run.start.unlink()
    return "start.safetensors is missing"


def foreign_start(run: Run, other: Run) -> str:
    shutil.copy(other.start, run.start)
    return "start.safetensors is not what this run began with"


def foreign_checkpoint(run: Run, other: Run) -> str:
    shutil.copy(other.older_checkpoint, run.older_checkpoint)
    return "checkpoint-1.safetensors belongs to another run"


def other_metrics(run: Run, other: Run) -> str:
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    rows[0]["train_loss"] += 1
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "metrics.jsonl is damaged"


def drop_checkpoints(run: Run, other: Run) -> str:
    run.checkpoint.unlink()
    run.older_checkpoint.unlink()
    return "has lost its checkpoints"


@pytest.mark.parametrize("spoil", [drop_start, foreign_start, foreign_checkpoint, other_metrics, drop_checkpoints])
def test_what_resuming_would_refuse_is_found(
    dead: dict[int, Run], run: Run, spoil: Callable[[Run, Run], str]
) -> None:
    words = spoil(run, dead[1])
    outcome = ask(run.folder)
    assert isinstance(outcome.exception, VerificationError)
    assert words in outcome.stdout + str(outcome.exception)


def test_a_run_killed_before_its_first_checkpoint_passes(run: Run) -> None:
    run.checkpoint.unlink()
    run.older_checkpoint.unlink()
    run.metrics.write_bytes(run.metrics.read_bytes().splitlines(keepends=True)[0])
    assert ask(run.folder).exit_code == 0


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", "a\\b", "a\0b"])
def test_names_that_lead_out_of_a_run_are_not_followed(run: Run, name: str) -> None:
    assert unsafe_names([name, "trunk.safetensors", "domains/apples.safetensors"]) == [name]
    asked = read_sealed(run.folder / "run.json", "")
    write_sealed(run.folder / "run.json", asked | {"files": {name: "0" * 64}})
    assert "cannot be a file of a run" in told(run.folder)


def test_a_missing_run_of_a_group_is_reported(dead: dict[int, Run], tmp_path: Path) -> None:
    group = Group(tmp_path / "group", (0, 1), ASKED | {"recipe": RECIPE.to_json()})
    group.write()
    shutil.copytree(dead[0].folder, group.runs[0])
    outcome = ask(group.folder)
    assert outcome.exit_code == 0 and "not trained yet" in outcome.stdout  # the first is still to be trained


def test_a_missing_run_after_one_that_is_done_is_reported(tiny: Path, tmp_path: Path) -> None:
    recipe = RECIPE.override({"epochs": 1})
    group = Group(tmp_path / "group", (0, 1), ASKED | {"recipe": recipe.to_json()})
    group.write()
    go(tiny, group.runs[0], "bn", recipe=recipe, domains=("apples",))
    assert "seed-1 has no run.json. Restore the run" in told(group.folder)


def group_score() -> dict[str, Any]:
    scores = (Score((DomainScore("ant", 1 - error, error, 10, 0.2),), "b") for error in (0.1, 0.3))
    return GroupScore((0, 1), tuple(scores)).to_json()


def change_mean(data: dict[str, Any]) -> None:
    data["score"]["mean"] += 1


def drop_runs(data: dict[str, Any]) -> None:
    data["runs"] = []


def drop_a_run(data: dict[str, Any]) -> None:
    del data["runs"][0]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("change", [change_mean, drop_runs, drop_a_run])
def test_a_group_score_that_is_not_of_its_runs_is_found(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sealed: bool
) -> None:
    file, data = tmp_path / "mean.json", group_score()
    (write_sealed if sealed else write_json)(file, data)
    assert ask(file).exit_code == 0
    found = read_json(file)
    change(found)
    write_json(file, found)
    assert "damaged" in told(file) if sealed else "contradicts itself" in told(file)
