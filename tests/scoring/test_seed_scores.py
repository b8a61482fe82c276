"""The score of a group: means and deviations against numbers by hand, in every report."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.errors import DataError, UsageError
from decathlon.runs.seed_group import Group, seeds_text
from decathlon.scoring.baseline import SavedBaseline
from decathlon.scoring.results import protocol_text, write_results
from decathlon.scoring.score import DomainScore, Score
from decathlon.scoring.seed_scores import GroupScore, MeanStd, mean_std, read_score
from decathlon.system.checksums import seal
from decathlon.system.files import write_json
from tests.helpers.runs import ASKED, a_record

ERRORS = {"ant": (0.1, 0.3), "bee": (0.2, 0.2)}  # by domain and seed
BASELINE = 0.2
# Of ant: 1000 * (0.3 / 0.4)^2 and 1000 * (0.1 / 0.4)^2; the points of its mean error would be 250.
MEAN_POINTS, STD_POINTS = (562.5 + 62.5) / 2, 500 / math.sqrt(2)


def invoke(*words: object) -> str:
    done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def scored(errors: dict[str, float], seed: int, baseline: float | None = BASELINE) -> Score:
    domains = tuple(DomainScore(name, 1 - error, error, 10, baseline, 0.5) for name, error in errors.items())
    return Score(domains, "b", protocol={"fit": "train", "seed": seed, "benchmark": "insects"})


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """Two finished runs of seeds 0 and 1 with the results for ERRORS, and the truth beside them in `truth`."""
    for index, name in enumerate(ERRORS, 1):
        base = index * 10**7
        ids = [base + 100 + i for i in range(10)]
        document = {
            "images": [{"id": image} for image in ids],
            "annotations": [{"image_id": image, "category_id": base + 1} for image in ids],
            "categories": [{"id": base + 1}, {"id": base + 2}],
        }
        write_json(tmp_path / "truth" / f"{name}_test.json", document)
    write_json(tmp_path / "other" / "score.json", scored(dict.fromkeys(ERRORS, BASELINE), 0).to_json())
    group = Group(tmp_path / "group", (0, 1), ASKED)
    group.write()
    for seed, folder in group.runs.items():
        a_record(seed=seed, status="done").write(folder)
        write_json(folder / "footprint.json", {"ratio": 2.5})
        ids, categories = [], []
        for index, errors in enumerate(ERRORS.values(), 1):
            ids += [index * 10**7 + 100 + i for i in range(10)]
            categories += [index * 10**7 + (2 if i < 10 * errors[seed] else 1) for i in range(10)]
        write_results(folder / "results.json", ids, categories, {"fit": "train", "seed": seed, "epochs": 3})
    return group


def score_group(group: Group, *options: object) -> str:
    parent = group.folder.parent
    return invoke("score", group.folder, "--truth", parent / "truth", "--baseline", parent / "other", *options)


def test_mean_and_deviation_by_hand() -> None:
    assert mean_std([1, 2, 6]).mean == 3 and mean_std([1, 2, 6]).std == pytest.approx(math.sqrt(7))
    assert mean_std([4.0]) == MeanStd(4.0, None)
    assert mean_std([4.0, None]) == mean_std([None]) == MeanStd(None, None)


def test_a_group_is_scored_by_its_runs(group: Group) -> None:
    data = json.loads(score_group(group, "--json", "-o", group.folder.parent / "out.json"))
    assert json.loads((group.folder.parent / "out.json").read_text()) == seal(data)
    assert data["seeds"] == [0, 1]
    assert data["score"] == {"mean": pytest.approx(MEAN_POINTS + 250), "std": pytest.approx(STD_POINTS)}
    assert data["mean_accuracy"] == {"mean": pytest.approx(0.8), "std": pytest.approx(0.1 / math.sqrt(2))}
    ant, bee = data["domains"]["ant"], data["domains"]["bee"]
    assert ant["accuracy"] == {"mean": pytest.approx(0.8), "std": pytest.approx(0.2 / math.sqrt(2))}
    assert ant["points"] == {"mean": pytest.approx(MEAN_POINTS), "std": pytest.approx(STD_POINTS)}
    assert bee["accuracy"]["std"] == bee["points"]["std"] == 0
    for run, folder in zip(data["runs"], group.runs.values(), strict=True):
        assert json.loads((folder / "score.json").read_text()) == seal(run)
        assert json.loads(invoke("score", folder / "results.json", "--truth", group.folder.parent / "truth",
                                 "--baseline", group.folder.parent / "other", "--json")) == run  # fmt: skip


def test_means_are_shown_with_deviations(group: Group) -> None:
    out = score_group(group)
    assert "Score 562.5 of 2000, mean over seeds 0-1" in out
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert lines["ant"] == ["10", "80.00", "14.14", "20.00", "20.00", "312.5", "353.6"]
    assert lines["mean,"][1:] == ["20", "80.00", "7.07", "20.00", "–", "562.5", "353.6"]
    assert "Protocol: fit train, epochs 3, seeds 0-1." in out


def test_a_group_of_one_seed_is_called_one_seed() -> None:
    (one,) = GroupScore((4,), (scored({"ant": 0.1}, 4),)).scores
    assert (GroupScore((4,), (one,)).mean().protocol or {})["seed"] == "4"
    assert (seeds_text((4,)), seeds_text((4, 5))) == ("seed 4", "seeds 4-5")


def test_the_protocol_names_all_values_that_differ_between_runs() -> None:
    protocols: list[dict[str, object]] = [
        {"fit": "train", "epochs": 3, "seed": 0, "own": "lr of boats"},
        {"fit": "train", "epochs": 5, "seed": 1, "changed": "lr and epochs"},
        {"fit": "train", "epochs": 3, "seed": 2, "changed": "lr and data"},
    ]
    domains = scored({"ant": 0.1}, 0).domains
    scores = tuple(Score(domains, "b", protocol=protocol) for protocol in protocols)
    mean = GroupScore((0, 1, 2), scores).mean()
    assert mean.protocol == {
        "fit": "train", "epochs": "3 or 5", "own": "lr of boats or none", "changed": "lr and epochs and data",
        "seeds": "0-2",
    }  # fmt: skip
    text = "train, 3 or 5 epochs (lr and epochs and data changed), own lr of boats or none, seeds 0-2"
    assert protocol_text(mean.protocol) == SavedBaseline.of(mean).text == text


@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ({"fit": "train", "epochs": 20, "size": 16, "changed": "lr"}, "train, 20 epochs (lr changed), 16 px"),
        ({"fit": "train", "changed": "lr"}, "train, lr changed"),
        ({"epochs": 1, "changed": None}, "1 epoch"),
    ],
)
def test_the_protocol_says_what_was_changed_in_training(protocol: dict[str, object], text: str) -> None:
    assert protocol_text(protocol) == text


def test_a_group_is_scored_against_one_truth() -> None:
    one, other = (replace(scored({"ant": 0.1}, seed), truth=str(seed) * 64) for seed in (0, 1))
    assert GroupScore((0, 1), (one, replace(other, truth=None))).mean().truth == one.truth
    with pytest.raises(DataError, match="scored differently"):
        GroupScore((0, 1), (one, other))


def test_a_group_without_all_results_writes_no_score(group: Group) -> None:
    (group.runs[1] / "results.json").unlink()
    with pytest.raises(UsageError, match=r"seed-1 has no results.json. Run 'decathlon predict .*group --data"):
        score_group(group)
    assert not (group.runs[0] / "score.json").exists()


def test_a_group_of_baselines_gives_its_mean_errors(group: Group) -> None:
    score_group(group)
    single = json.loads(invoke("score", group.runs[0] / "results.json", "--truth", group.folder.parent / "truth",
                               "--baseline", group.folder, "--json"))  # fmt: skip
    assert single["domains"]["ant"]["baseline_error"] == pytest.approx(0.2)
    assert single["domains"]["bee"]["baseline_error"] == pytest.approx(0.2)


def test_a_baseline_without_a_checksum_is_noted(group: Group) -> None:
    parent = group.folder.parent
    words = ["score", group.runs[0] / "results.json", "--truth", parent / "truth", "--baseline"]
    note = "Note: {} has no checksum, its errors are taken as they are.\n"

    def stderr(baseline: Path, *options: object) -> str:
        done = CliRunner().invoke(command, list(map(str, [*words, baseline, *options])), catch_exceptions=False)
        return "".join(line for line in done.stderr.splitlines(True) if not line.startswith("not compared: "))

    assert stderr(parent / "other") == note.format(parent / "other" / "score.json")
    assert stderr(parent / "other" / "score.json", "--save-baseline", parent / "kept.json").startswith("Note: ")
    assert stderr(parent / "kept.json") == ""
    kept = json.loads((parent / "kept.json").read_text())
    del kept["sha256"]
    write_json(parent / "bare.json", kept)
    assert stderr(parent / "bare.json") == note.format(parent / "bare.json")
    score_group(group)
    assert stderr(group.folder) == ""
    bare = group.runs[1] / "score.json"
    write_json(bare, {key: value for key, value in json.loads(bare.read_text()).items() if key != "sha256"})
    assert stderr(group.folder) == note.format(bare)


def test_the_leaderboard_has_one_row_per_group_beside_single_runs(group: Group) -> None:
    score_group(group)
    single = group.folder.parent / "single"
    write_json(single / "score.json", scored({"ant": 0.1, "bee": 0.1}, 0).to_json())
    rows = {row["name"]: row for row in json.loads(invoke("leaderboard", group.folder, "--format", "json"))}
    row = rows["group"]
    assert (row["score"], row["score_std"]) == pytest.approx((MEAN_POINTS + 250, STD_POINTS), abs=1e-4)
    assert (row["mean accuracy %"], row["mean accuracy std %"]) == pytest.approx((80, 10 / math.sqrt(2)), abs=1e-4)
    assert (row["params_ratio"], row["ant %"], row["protocol"]) == (2.5, 80.0, "train, 3 epochs, seeds 0-1")
    alone = json.loads(invoke("leaderboard", group.runs[0], "--format", "json"))
    assert "group/seed-0" in {row["name"] for row in alone}
    assert rows["baseline"]["score"] == 500.0 and rows["baseline"]["score_std"] is None
    text = invoke("leaderboard", group.folder, "--format", "markdown")
    assert "| 7.07 | 562.5 | 353.6 |" in text.replace("*", "")
    found = csv.DictReader(io.StringIO(invoke("leaderboard", single, "--format", "csv")))
    assert [row["score_std"] for row in found if row["name"] == "single"] == [""]
    assert "±" not in invoke("leaderboard", single)
    assert r"& $\pm$ &" in invoke("leaderboard", group.folder, "--format", "latex")


def test_a_group_keeps_its_baseline_and_is_counted_against_another(group: Group) -> None:
    before = json.loads(score_group(group, "--json"))
    truth, base = group.folder.parent / "truth", group.folder.parent / "base"
    assert json.loads(invoke("score", group.folder, "--truth", truth, "--json")) == before
    write_json(base / "score.json", scored(dict.fromkeys(ERRORS, 0.4), 0).to_json())
    found = json.loads(invoke("leaderboard", group.folder, "--baseline", base, "--format", "json"))
    points = [1000 * (0.7 / 0.8) ** 2 + 1000 * (0.6 / 0.8) ** 2, 1000 * (0.5 / 0.8) ** 2 + 1000 * (0.6 / 0.8) ** 2]
    row = {row["name"]: row for row in found}["group"]
    assert row["score"] == pytest.approx(sum(points) / 2, abs=1e-3)
    assert row["score_std"] == pytest.approx(abs(points[0] - points[1]) / math.sqrt(2), abs=1e-3)


def test_a_group_with_a_diverged_run_has_no_score(group: Group) -> None:
    a_record(seed=1, status="diverged").write(group.runs[1])
    (row,) = json.loads(invoke("leaderboard", group.folder, "--format", "json"))
    assert (row["score"], row["protocol"]) == (None, "diverged, seeds 0-1")
    with pytest.raises(UsageError, match="seed 1 of .* diverged. Train all seeds .* smaller --lr"):
        score_group(group)


def test_scores_that_do_not_belong_together_have_no_mean(group: Group) -> None:
    one, other = scored({"ant": 0.1}, 0), scored({"ant": 0.1}, 1, baseline=0.3)
    with pytest.raises(DataError, match="score the group again"):
        GroupScore((0, 1), (one, other))
    bare = GroupScore((0, 1), (scored({"ant": 0.1}, 0, None), scored({"ant": 0.2}, 1, None)))
    assert bare.total == MeanStd(None, None) and bare.mean().total is None
    with pytest.raises(DataError, match="seed-0 has no score.json. Run 'decathlon score"):
        read_score(group.folder)


def test_scoring_a_group_imports_no_torch(group: Group) -> None:
    program = (
        "import sys\nfrom decathlon.cli.main import command\n"
        "command.main(sys.argv[1:], standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    for words in (["score", group.folder, "--truth", group.folder.parent / "truth"], ["leaderboard", group.folder]):
        subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, check=True)
