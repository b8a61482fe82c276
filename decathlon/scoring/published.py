"""The published rows of the Visual Decathlon: test accuracies as printed in the papers, rescored here.

The score computed from rounded accuracies differs from the published one by up to 3 points.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from decathlon.data.official import OFFICIAL
from decathlon.scoring.baseline import OFFICIAL_TEXT
from decathlon.scoring.score import DomainScore, Score
from decathlon.system.strict_json import parse_json

FACTS = "published.json"


@dataclass(frozen=True)
class Published:
    """One row: `params` is the published footprint in trunks, `printed_score` the score stated in the paper."""

    name: str
    params: float | None
    printed_score: float
    paper: str
    link: str
    score: Score


def published_rows() -> tuple[Published, ...]:
    """Return the published rows, oldest paper first."""
    rows = parse_json(files("decathlon.scoring").joinpath(FACTS).read_bytes(), FACTS)
    return tuple(
        Published(row["name"], row["params"], row["score"], row["paper"], row["link"], _score(row["accuracy"]))
        for row in rows
    )


def _score(percent: dict[str, float]) -> Score:
    domains = (
        DomainScore(
            name,
            accuracy=round(percent[name] / 100, 6),
            error=round(
                1 - percent[name] / 100, 6
            ),  # exactly the float in OFFICIAL for Finetune, whose score is then exactly 2500
            images=facts.test,
            baseline_error=facts.finetune_error,
        )
        for name, facts in OFFICIAL.items()
    )
    return Score(tuple(domains), OFFICIAL_TEXT)
