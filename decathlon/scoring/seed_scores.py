"""The scores of a group: mean and standard deviation over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decathlon.data.ground_truth import Split
from decathlon.errors import DataError
from decathlon.runs.seed_group import Group, find_group, seeds_text
from decathlon.scoring.results import of_split
from decathlon.scoring.score import RESCORE, DomainScore, Score, how_to_score
from decathlon.system.checksums import read_sealed
from decathlon.system.schema import check

SHAPE = {"seeds": [int], "score": dict, "mean_accuracy": dict, "domains": dict, "baseline": str, "runs": [dict]}


@dataclass(frozen=True)
class MeanStd:
    """The mean over runs and the sample standard deviation (n - 1); None where undefined."""

    mean: float | None
    std: float | None


def mean_std(values: Iterable[float | None]) -> MeanStd:
    """Return mean and deviation; one value has no deviation, and with a value that is None there is neither."""
    given = list(values)
    known = [value for value in given if value is not None]
    if len(known) < len(given):
        return MeanStd(None, None)
    return MeanStd(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True)
class MeanDomainScore(DomainScore):
    """A domain over seeds: the mean of the points, which is not the points of the mean error."""

    mean_points: float | None = None

    @property
    def points(self) -> float | None:
        """The mean of the runs' points."""
        return self.mean_points


@dataclass(frozen=True)
class GroupScore:
    """One score per seed, over the same domains and images, against the same baseline errors."""

    seeds: tuple[int, ...]
    scores: tuple[Score, ...]

    def __post_init__(self) -> None:
        truths = {score.truth for score in self.scores if score.truth is not None}
        tasks = {
            (score.split, score.missing, *((d.name, d.images, d.baseline_error) for d in score.domains))
            for score in self.scores
        }
        images = {(score.protocol or {}).get("data") for score in self.scores}
        if len(tasks) > 1 or len(truths) > 1 or len(images) > 1:
            raise DataError(
                "the runs of the group answer different domains or images, or were scored differently. Predict all "
                "of them from one file (--force) and score the group again."
            )

    @property
    def total(self) -> MeanStd:
        """The total over seeds."""
        return mean_std(score.total for score in self.scores)

    @property
    def mean_accuracy(self) -> MeanStd:
        """The mean over domains, over seeds."""
        return mean_std(score.mean_accuracy for score in self.scores)

    def accuracy(self, domain: int) -> MeanStd:
        """The accuracy in the domain at a position, over seeds."""
        return mean_std(score.domains[domain].accuracy for score in self.scores)

    def points(self, domain: int) -> MeanStd:
        """The points in the domain at a position, over seeds."""
        return mean_std(score.domains[domain].points for score in self.scores)

    def mean(self) -> Score:
        """Return the means as one score; in its protocol, values that differ between runs read `3 or 5`."""
        first = self.scores[0]
        domains = []
        for i, domain in enumerate(first.domains):
            accuracy = self.accuracy(i).mean or 0.0
            facts = domain.images, domain.baseline_error, domain.majority
            domains.append(MeanDomainScore(domain.name, accuracy, 1 - accuracy, *facts, self.points(i).mean))
        return Score(tuple(domains), first.baseline, first.missing, self._protocol(), first.truth, first.split)

    def to_json(self) -> dict[str, Any]:
        """Return means, deviations and, under `runs`, every score as `decathlon score` writes it."""
        first = self.scores[0]
        return {
            "seeds": list(self.seeds),
            "score": asdict(self.total),
            "mean_accuracy": asdict(self.mean_accuracy),
            "domains": {
                domain.name: {
                    "accuracy": asdict(self.accuracy(i)),
                    "points": asdict(self.points(i)),
                    "baseline_error": domain.baseline_error,
                    "images": domain.images,
                }
                for i, domain in enumerate(first.domains)
            },
            "baseline": first.baseline,
            "runs": [score.to_json() for score in self.scores],
        }

    @classmethod
    def read(cls, path: Path) -> GroupScore:
        """Read a file with the JSON of `to_json`; raises DataError when it is malformed or contradicts itself."""
        data = read_sealed(path, RESCORE)
        check(data, SHAPE, str(path), RESCORE)
        seeds, runs = tuple(data["seeds"]), data["runs"]
        if not runs or len(runs) != len(seeds) or len(set(seeds)) < len(seeds):
            raise DataError(f"{path} contradicts itself: it has {len(runs)} runs of {len(seeds)} seeds. {RESCORE}.")
        scores = tuple(Score.from_json(run, f"runs[{number}] of {path}") for number, run in enumerate(runs))
        found = cls(seeds, scores)
        again = found.to_json()
        if any(again[key] != data[key] for key in SHAPE if key != "runs"):
            raise DataError(f"{path} contradicts itself: its means are not those of its runs. {RESCORE}.")
        return found

    def _protocol(self) -> Mapping[str, Any] | None:
        protocols = [score.protocol for score in self.scores if score.protocol is not None]
        if len(protocols) < len(self.scores):
            return None
        names = dict.fromkeys(name for protocol in protocols for name in protocol)
        kind, _, seeds = seeds_text(self.seeds).partition(" ")
        own = ("seed", "results_sha256", "weights")
        return {name: _merge(name, protocols) for name in names if name not in own} | {kind: seeds}


def read_group_score(group: Group, split: Split = "test") -> GroupScore:
    """Read the score of a split of every run.

    Raises UsageError when one is missing because the group is not trained to the end, DataError when one is missing
    otherwise or they do not belong together.
    """
    for folder in group.runs.values():
        if not (folder / of_split("score", split)).is_file():
            group.every()
            how = how_to_score(group.folder, split=split)
            raise DataError(f"{folder} has no {of_split('score', split)}. Run '{how}' first.")
    return GroupScore(group.seeds, tuple(Score.read(folder, split) for folder in group.runs.values()))


def read_score(path: Path, split: Split = "test") -> Score:
    """Read a score.json, that of a split of a run directory, or the mean over those of a group."""
    group = find_group(path)
    return Score.read(path, split) if group is None else read_group_score(group, split).mean()


def _merge(name: str, protocols: Sequence[Mapping[str, Any]]) -> Any:
    """Return one value for a name in the protocols: the changes of all runs, or the distinct values."""
    if name == "changed":
        changes = (change for protocol in protocols for change in str(protocol.get(name) or "").split(" and "))
        return " and ".join(dict.fromkeys(filter(None, changes)))
    first = protocols[0].get(name)
    if all(protocol.get(name) == first for protocol in protocols):
        return first
    return " or ".join(dict.fromkeys(str(protocol.get(name, "none")) for protocol in protocols))
