"""The published rows, rescored."""

from __future__ import annotations

import pytest

from decathlon.data.official import OFFICIAL
from decathlon.reports.leaderboard_rows import LeaderboardRow, paper_rows

# Computed from the rounded accuracies by hand, independently of the scorer.
RECOMPUTED = {
    "Scratch": 1626.7, "Finetune": 2500.0, "Feature": 545.4, "Series adapters": 2119.0, "DAN": 2852.5,
    "Piggyback": 2840.2, "Parallel SVD": 3396.8, "MTAN": 2943.5, "Parallel adapters": 3412.0,
    "NetTailor": 3743.6, "URL": 3625.3, "URL + adapters": 4005.0,
}  # fmt: skip


def test_there_are_twelve_rows_over_the_official_ten() -> None:
    scores = {row.name: row.score for row in paper_rows()}
    assert scores.keys() == set(RECOMPUTED)
    assert all(score and [domain.name for domain in score.domains] == list(OFFICIAL) for score in scores.values())


@pytest.mark.parametrize("row", paper_rows(), ids=lambda row: row.name)
def test_the_score_comes_back_within_three_points_of_the_printed_one(row: LeaderboardRow) -> None:
    assert row.score is not None
    assert row.score.total == pytest.approx(RECOMPUTED[row.name], abs=0.06)
    assert row.score.total == pytest.approx(row.printed_score, abs=3)


def test_finetune_scores_exactly_a_quarter() -> None:
    (score,) = (row.score for row in paper_rows() if row.name == "Finetune")
    assert score is not None and score.total == 2500.0
    assert [domain.points for domain in score.domains] == [250.0] * 10


def test_every_row_links_its_paper() -> None:
    assert all(str(row.link).startswith("https://arxiv.org/abs/") for row in paper_rows())
