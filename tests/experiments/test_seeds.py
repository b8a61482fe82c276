"""Groups of runs in training: members are the single runs, and an interruption anywhere costs nothing."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command, main
from decathlon.config.recipe import Recipe
from decathlon.errors import DataError, DivergedError, UsageError
from decathlon.experiments.launch import train
from decathlon.experiments.request import Request, member_request, resolved
from decathlon.experiments.seeds import resume_seeds, train_seeds
from decathlon.reports.training_table import group_summary, last_metrics
from decathlon.runs.record import read_status
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import Group, find_group
from decathlon.system.files import sha256, write_json
from decathlon.system.progress import TrainingProgress
from decathlon.training.trainer import Trainer
from tests.helpers.marks import slow
from tests.helpers.packs import TINY, write_pack
from tests.helpers.runs import ASKED, dying_at

RECIPE = Recipe(epochs=2, batch=8, size=16, lr=0.05, precision="fp32")
STEPS = 2 * 9  # of one run


def request(data: Path, out: Path, method: str = "bn", **changes: Any) -> Request:
    asked: dict[str, Any] = {"trunk": "wrn-10-1", "recipe": RECIPE} | changes
    return Request(data=data, out=out, method=method, **asked)


def together(data: Path, out: Path, count: int, *args: Any, **changes: Any) -> Group:
    return train_seeds(request(data, out, *args, **changes), count, TrainingProgress())


def alone(data: Path, out: Path, *args: Any, **changes: Any) -> Path:
    return train(request(data, out, *args, **changes), TrainingProgress()).folder


def digests(folder: Path) -> dict[str, str]:
    files = [folder / "run.json", folder / "metrics.jsonl", *sorted(folder.glob("**/*.safetensors"))]
    return {str(path.relative_to(folder)): sha256(path) for path in files}


@pytest.fixture(scope="module")
def group(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Group:
    """A joint method with the seeds 1 and 2."""
    return together(tiny, tmp_path_factory.mktemp("runs") / "group", 2, seed=1)


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Group:
    """Three seeds over a group of trunks: a member that is begun later must find its own trunk too."""
    folder = tmp_path_factory.mktemp("runs")
    trunks = together(tiny, folder / "trunks", 3, domains=("apples",))
    return together(tiny, folder / "whole", 3, "mtan", trunk=str(trunks.folder))


def test_members_are_what_single_runs_are(tiny: Path, tmp_path: Path, group: Group) -> None:
    assert sorted(path.name for path in group.folder.iterdir()) == ["seed-1", "seed-2", "seeds.json"]
    for seed, folder in group.every().items():
        assert digests(folder) == digests(alone(tiny, tmp_path / str(seed), seed=seed))
    assert digests(group.runs[1]) != digests(group.runs[2])
    found = find_group(group.folder)
    assert found is not None and found.seeds == (1, 2) and find_group(group.runs[1]) is None


def test_a_group_over_a_group_takes_the_trunk_of_the_same_seed(tiny: Path, tmp_path: Path, group: Group) -> None:
    over = together(tiny, tmp_path / "over", 2, "parallel", trunk=str(group.folder), seed=1)
    for seed, folder in over.every().items():
        assert Run(folder).read().trunk.source == str(group.runs[seed])
        single = alone(tiny, tmp_path / str(seed), "parallel", trunk=str(group.runs[seed]), seed=seed)
        assert digests(folder) == digests(single)


def test_a_trunk_without_the_seed_is_refused_before_anything_is_made(
    tiny: Path, tmp_path: Path, group: Group
) -> None:
    with pytest.raises(UsageError, match="has no run with seed 3. It has seeds 1-2"):
        together(tiny, tmp_path / "run", 3, "parallel", trunk=str(group.folder), seed=1)
    write_json(group.folder.parent / "half" / "seeds.json", json.loads((group.folder / "seeds.json").read_text()))
    with pytest.raises(UsageError, match="seed 1 of .*half has not finished training"):
        together(tiny, tmp_path / "run", 1, "parallel", trunk=str(group.folder.parent / "half"), seed=1)
    assert not (tmp_path / "run").exists()


def test_where_one_run_is_needed_a_group_is_refused(tiny: Path, tmp_path: Path, group: Group) -> None:
    with pytest.raises(
        UsageError, match=r"is a group of runs \(seeds 1-2\), and this needs a single run. Name .*seed-1"
    ):
        alone(tiny, tmp_path / "run", "parallel", trunk=str(group.folder))


@pytest.mark.parametrize("step", [slow(STEPS), STEPS + 11, slow(3 * STEPS - 1)], ids=["first", "middle", "last"])
def test_a_group_that_died_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, whole: Group, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with dying_at(monkeypatch, step):
        together(tiny, tmp_path / "killed", 3, "mtan", trunk=str(whole.folder.parent / "trunks"))
    killed = find_group(tmp_path / "killed")
    assert killed is not None and killed.finished(0)
    began = [path.stat().st_mtime_ns for path in sorted(killed.runs[0].iterdir())]
    monkeypatch.chdir(tmp_path.parent)
    resume_seeds(killed, None, TrainingProgress())
    assert [digests(folder) for folder in killed.every().values()] == [
        digests(folder) for folder in whole.every().values()
    ]
    assert [path.stat().st_mtime_ns for path in sorted(killed.runs[0].iterdir())] == began


def test_a_group_that_died_before_its_first_run_leaves_the_name_free(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(Run, "write", lambda *_: (_ for _ in ()).throw(OSError("died")))
        together(tiny, tmp_path / "run", 1)
    assert (tmp_path / "run" / "seeds.json").is_file()
    assert together(tiny, tmp_path / "run", 1, domains=("apples",)).every()


def test_a_group_is_not_overwritten_and_a_finished_one_stays(tiny: Path, tmp_path: Path, group: Group) -> None:
    before = {seed: digests(folder) for seed, folder in group.runs.items()}
    with pytest.raises(UsageError, match="already exists"):
        together(tiny, group.folder, 2)
    with pytest.raises(UsageError, match="already exists"):
        alone(tiny, group.folder)
    resume_seeds(group, tmp_path / "absent.h5", TrainingProgress())
    assert {seed: digests(folder) for seed, folder in group.runs.items()} == before


def test_resuming_a_group_with_other_data_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_at(monkeypatch, STEPS):
        together(tiny, tmp_path / "run", 2)
    shutil.rmtree(tmp_path / "run" / "seed-1")  # as if the second had not begun
    killed = find_group(tmp_path / "run")
    assert killed is not None
    other = write_pack(tmp_path / "other.h5", counts={"train": 20, "val": 5, "test": 5})
    with pytest.raises(UsageError, match="other data"):
        resume_seeds(killed, other, TrainingProgress())
    moved = tmp_path / "moved.h5"
    moved.write_bytes(tiny.read_bytes())
    resume_seeds(killed, moved, TrainingProgress())
    assert Run(killed.finished(1)).read().data.path == moved


def test_a_request_comes_back_from_json_as_it_was(tiny: Path, tmp_path: Path) -> None:
    asked = request(
        tiny, tmp_path / "run", "parallel", domains=("boats",), regime="frozen", fit="train+val", device="cpu",
        options={"init": "zero"},
        recipe=RECIPE.override({"milestones": [0.5], "schedule": "step"}),
    )  # fmt: skip
    group = Group(asked.out, (7,), json.loads(json.dumps(resolved(asked))))
    back = member_request(group, 7)
    assert vars(back) == vars(asked) | {"out": tmp_path / "run" / "seed-7", "seed": 7}


def test_a_damaged_seeds_file_is_named(tmp_path: Path) -> None:
    whole: dict[str, object] = {"format": 1, "seeds": [0], "asked": ASKED}
    damaged: list[object] = [
        [],
        whole | {"seeds": []},
        whole | {"seeds": ["0"]},
        whole | {"asked": {}},
        whole | {"format": 2},
    ]
    for data in damaged:
        write_json(tmp_path / "seeds.json", data)
        with pytest.raises(DataError, match="seeds.json is damaged"):
            find_group(tmp_path)


def test_the_summary_is_mean_and_deviation_over_seeds(group: Group) -> None:
    table = group_summary(group)
    one, two = (last_metrics(run := Run(folder), run.read()) for folder in group.runs.values())
    assert table.title == "bn over wrn-10-1, fitted on train, mean over seeds 1-2"
    for name, *numbers in table.rows:
        pairs = [
            (100 * one[str(name)][key], 100 * two[str(name)][key]) for key in ("train_accuracy", "val_accuracy")
        ]
        expected = [part for a, b in pairs for part in ((a + b) / 2, abs(a - b) / math.sqrt(2))]
        assert numbers == pytest.approx(expected)
    means = [sum(run[name]["val_accuracy"] for name in TINY.names) / 3 * 100 for run in (one, two)]
    assert table.footer is not None
    assert table.footer[3:] == pytest.approx((sum(means) / 2, abs(means[0] - means[1]) / math.sqrt(2)))


def test_the_command_trains_resumes_and_predicts_a_group(tiny: Path, tmp_path: Path) -> None:
    def run(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=code == 0)
        assert done.exit_code == code, done.output
        return done.output

    out = tmp_path / "run"
    options = "--method bn --trunk wrn-10-1 --recipe quick --epochs 1 --batch 8 --size 16 --fit train+val".split()
    text = run("train", "apples", "--data", tiny, *options, "--seeds", 1, "--seed", 4, "-o", out)
    assert "mean over seed 4" in text and f"predict {out} --data {tiny}" in text
    (line,) = (line for line in text.splitlines() if line.startswith("apples "))
    assert line.split()[2:] == ["–", "–", "–"]  # one seed has no deviation, train+val no validation
    assert "mean over seed 4" in run("train", "--resume", "-o", out)
    predicted = run("predict", out, "--data", tiny, "--threads", 1)
    assert "12 test images of 1 domain predicted" in predicted and "FOLDER_WITH_TEST_LABELS --partial" in predicted
    results = out / "seed-4" / "results.json"
    results.write_text("kept")
    assert "is kept; --force replaces it" in run("predict", out, "--data", tiny) and results.read_text() == "kept"
    assert (
        f"score {out} --truth" in run("predict", out, "--data", tiny, "--force") and results.read_text() != "kept"
    )
    with pytest.raises(UsageError, match="Leave out -o"):
        CliRunner().invoke(command, ["predict", str(out), "--data", str(tiny), "-o", "x"], catch_exceptions=False)
    said = run("params", out, "--json")
    assert said == run("params", out / "seed-4", "--json")
    found = json.loads(said)
    assert (found["method"], found["trunk"], found["run"]) == ("bn", "wrn-10-1", str(out / "seed-4"))
    shown = run("params", out)
    assert f"What is stored: bn over wrn-10-1, {out / 'seed-4'}" in shown and f"One seed of {out} is shown" in shown


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("train --data {data} --method bn --seeds 0 -o r", 2, "'--seeds': 0 is not in the range x>=1"),
        ("train --resume --seeds 2 -o r", 2, "Leave out --seeds"),
        ("train --data {data} --method mtam --seeds 2 -o r", 2, "Did you mean mtan"),
        ("train pears --data {data} --method bn --seeds 2 -o r", 2, "pears"),
        ("train --data absent.h5 --method bn --seeds 2 -o r", 3, "absent.h5"),
        ("predict half --data {data}", 2, "seed 0 of half has not finished training"),
        ("score half --truth t", 2, "'decathlon train --resume -o half'"),
        ("params half", 2, "seed 0 of half"),
        ("leaderboard half", 2, "seed 0 of half has not finished training. Run 'decathlon train --resume -o half'"),
    ],
)
def test_wrong_uses_end_in_one_sentence_and_leave_nothing(
    words: str, code: int, message: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = resolved(request(tiny, tmp_path / "half"))
    Group(tmp_path / "half", (0, 1), asked).write()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["decathlon", *words.format(data=tiny).split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert message in capsys.readouterr().err and end.value.code == code
    assert not (tmp_path / "r").exists()


def test_a_seed_that_diverges_stops_no_other(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Trainer.advance

    def diverging(trainer: Trainer) -> int:
        if trainer.seed == 0:
            raise DivergedError("the loss became nan")
        return real(trainer)

    monkeypatch.setattr(Trainer, "advance", diverging)
    with pytest.raises(DivergedError, match="the loss of seed 0 in .* Train all seeds under another name"):
        together(tiny, tmp_path / "run", 2)
    assert read_status(tmp_path / "run" / "seed-1") == "done"
    with pytest.raises(DivergedError, match="the loss of seed 0"):
        again(tmp_path / "run")


def again(folder: Path) -> Group:
    found = find_group(folder)
    assert found is not None
    return resume_seeds(found, None, TrainingProgress())
