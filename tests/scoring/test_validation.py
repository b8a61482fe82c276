"""Predictions of the validation split: scored against the packed file, and never mistaken for test scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.ground_truth import read_truth
from decathlon.errors import DataError, UsageError
from decathlon.scoring.baseline import NO_BASELINE, find_baseline
from decathlon.scoring.results import read_results, write_results
from decathlon.scoring.score import Score, score
from tests.helpers.packs import write_truth


def invoke(*words: object) -> str:
    done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def runs(tiny: Path, tmp_path: Path) -> Path:
    """Two runs with perfect predictions of the validation split, but for one image of the first one."""
    for name, wrong in (("run", 1), ("other", 0)):
        rows: dict[int, int] = {}
        for domain in read_truth(tiny, "val").domains:
            rows |= domain.answers
        first, second, *_ = rows
        rows[first] = rows[second] if wrong else rows[first]
        protocol = {"method": name, "fit": "train", "split": "val", "benchmark": "tiny"}
        write_results(tmp_path / name / "results-val.json", rows, rows.values(), protocol)
    return tmp_path


def test_a_validation_score_names_its_split_and_has_no_points_of_test_errors(runs: Path, tiny: Path) -> None:
    out = invoke("score", runs / "run", "--split", "val", "--truth", tiny)
    assert "Validation accuracy, no total" in out and "split val" in out
    assert "Baseline: none." in out  # the benchmark's errors are of test images
    assert not (runs / "run" / "score.json").exists()
    found = Score.read(runs / "run", "val")
    assert found.split == "val" and found.total is None and found.mean_accuracy == pytest.approx(1 - 1 / 27)
    again = json.loads(invoke("score", runs / "run" / "results-val.json", "--truth", tiny, "--json"))
    assert again["split"] == "val" and Score.from_json(again, "s") == found  # the protocol said which split


def test_validation_points_need_a_baseline_of_the_same_split(runs: Path, tiny: Path) -> None:
    invoke("score", runs / "run", "--split", "val", "--truth", tiny, "--save-baseline", runs / "val.json")
    truth = read_truth(tiny, "val")
    assert find_baseline(truth) == NO_BASELINE
    assert find_baseline(truth, runs / "val.json").errors["apples"] == pytest.approx(1 / 9)
    assert find_baseline(truth, runs / "run").errors["apples"] == pytest.approx(1 / 9)
    with pytest.raises(UsageError, match="the official errors are of test images"):
        find_baseline(truth, "official")
    with pytest.raises(DataError, match="val.json was measured on val images, these are test images"):
        find_baseline(read_truth(write_truth(runs / "truth")), runs / "val.json")


def test_validation_rows_have_a_board_of_their_own(runs: Path, tiny: Path) -> None:
    truth = write_truth(runs / "truth")
    for name in ("run", "other"):
        invoke("score", runs / name, "--split", "val", "--truth", tiny)
    out = invoke("leaderboard", runs / "run", runs / "other", "--split", "val")
    assert "validation accuracy in %" in out and "test accuracy" not in out
    assert out.index("other") < out.index("run ") and "on val, train" in out
    answers = read_truth(truth)
    rows = {image: category for domain in answers.domains for image, category in domain.answers.items()}
    write_results(runs / "run" / "results.json", rows, rows.values(), {"benchmark": "tiny", "split": "test"})
    invoke("score", runs / "run", "--truth", truth)
    out = invoke("leaderboard", runs / "run", runs / "other" / "score-val.json")
    assert "test accuracy in %" in out and "validation accuracy in %" in out
    assert "differ in domains, split, images or baseline" in " ".join(out.split())
    with pytest.raises(DataError, match=r"other has no score.json"):
        invoke("leaderboard", runs / "other")


def test_a_truth_of_the_other_split_is_refused(runs: Path, tiny: Path) -> None:
    results = read_results(runs / "run" / "results-val.json")
    truth = read_truth(write_truth(runs / "truth"))
    with pytest.raises(
        DataError, match="predicts val images, and .* holds the answers of the test images. Name the truth"
    ):
        score(results, truth, NO_BASELINE)
    with pytest.raises(AssertionError, match="results-val.json predicts val images. Leave out --split test."):
        invoke("score", runs / "run" / "results-val.json", "--truth", runs / "truth", "--split", "test")
    with pytest.raises(DataError, match="holds no <domain>_val.json"):
        invoke("score", runs / "run" / "results-val.json", "--truth", runs / "truth")
    with pytest.raises(UsageError, match="run has no results.json. Run 'decathlon predict"):
        invoke("score", runs / "run", "--truth", tiny)
    with pytest.raises(UsageError, match="empty has no results-val.json. Run .*--split val' first"):
        (runs / "empty").mkdir()
        invoke("score", runs / "empty", "--split", "val", "--truth", tiny)


def test_a_score_on_images_that_were_trained_on_says_so(runs: Path, tiny: Path) -> None:
    found = read_results(runs / "run" / "results-val.json")
    write_results(runs / "r.json", found.image_ids, found.category_ids, {"fit": "train+val", "split": "val"})
    assert "The run was trained on these val images too." in invoke("score", runs / "r.json", "--truth", tiny)
    assert "trained on these" not in invoke("score", runs / "run" / "results-val.json", "--truth", tiny)


def test_scoring_against_a_packed_file_imports_no_torch(runs: Path, tiny: Path) -> None:
    program = (
        "import sys\nfrom decathlon.cli.main import command\n"
        "command.main(sys.argv[1:], standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    words = ["score", runs / "run", "--split", "val", "--truth", tiny]
    subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, check=True)
