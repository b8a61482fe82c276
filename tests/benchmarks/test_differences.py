"""Differences between rows: a real one is found, noise is not, and pairs share their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.differences import Correct, command, difference, holm, mean, page
from decathlon.data.ground_truth import read_truth
from decathlon.scoring.results import write_results
from tests.helpers.packs import write_truth


def row(seed: int, *accuracies: float, hard: int = 0) -> Correct:
    """Return answers of three seeds, right at random; which images are hard is the same for all rows."""
    rng, images = np.random.default_rng(seed), np.random.default_rng(hard).random((2, 1, 400))
    return [
        (images[i] + 0.3 * rng.random((3, 400)) < 1.3 * each).astype(float) for i, each in enumerate(accuracies)
    ]


def test_a_difference_that_is_there_is_found_and_noise_is_not() -> None:
    by, low, high, p = difference(row(1, 0.7, 0.8), row(2, 0.6, 0.7), 500)
    assert 0.05 < low < by < high < 0.2 and p < 0.01
    by, low, high, p = difference(row(1, 0.7, 0.8), row(2, 0.7, 0.8), 500)
    assert low < 0 < high and p > 0.05
    assert difference(row(1, 0.7, 0.8), row(1, 0.7, 0.8), 50) == (0.0, 0.0, 0.0, 1.0)


def test_pairs_on_the_same_images_need_less_of_a_difference() -> None:
    _, low, high, _ = difference(row(1, 0.7, 0.8), row(2, 0.68, 0.78), 500)
    _, other_low, other_high, _ = difference(row(1, 0.7, 0.8), row(2, 0.68, 0.78, hard=9), 500)
    assert high - low < 0.7 * (other_high - other_low)


def test_the_correction_is_holms() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert holm([0.01, 0.02, 0.02]) == [True, True, True] and holm([]) == []


def test_every_domain_counts_the_same() -> None:
    uneven = [np.ones((2, 10)), np.zeros((2, 1000))]
    assert mean(uneven).tolist() == [0.5, 0.5]
    text = page({"a": row(1, 0.7, 0.8), "b": row(2, 0.6, 0.7)})
    assert text.index("| a") < text.index("| b") and "real" in text


@pytest.mark.parametrize("right", [1.0, 0.5])
def test_rows_are_read_from_predicted_runs(tmp_path: Path, right: float) -> None:
    truth = write_truth(tmp_path / "truth")
    pairs = [pair for domain in read_truth(truth).domains for pair in domain.answers.items()]
    for name in ("one", "two"):
        wrong = [c if i < right * len(pairs) or name == "one" else -1 for i, (_, c) in enumerate(pairs)]
        (tmp_path / name).mkdir()
        write_results(tmp_path / name / "results.json", [image for image, _ in pairs], wrong, {})
    words = ["--truth", truth, "-o", tmp_path / "found", tmp_path / "one", tmp_path / "two"]
    done = CliRunner().invoke(command, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0 and (tmp_path / "found.md").exists()
    assert ("real" in done.output) == (right < 1)
