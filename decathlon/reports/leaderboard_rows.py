"""The rows of a leaderboard, read from runs and from the published results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from decathlon.data.ground_truth import Split
from decathlon.data.official import OFFICIAL
from decathlon.runs.logs import read_footprint
from decathlon.runs.record import RECORD, RunRecord, read_record
from decathlon.runs.seed_group import Group, find_group, seeds_text
from decathlon.scoring.baseline import OFFICIAL_TEXT, rebased
from decathlon.scoring.results import protocol_text
from decathlon.scoring.score import DomainScore, Score, refuse_other_results
from decathlon.scoring.seed_scores import GroupScore, read_group_score
from decathlon.system.strict_json import parse_json

PAPERS = "published.json"


@dataclass(frozen=True)
class LeaderboardRow:
    """One row: `score` is None for a run that diverged, `params` is the footprint in trunks.

    `method` is its name with its options, `protocol` how it was trained, `printed_score` the score stated in a
    paper.
    """

    name: str
    score: Score | None
    params: float | None = None
    protocol: str | None = None
    printed_score: float | None = None
    link: str | None = None
    published: bool = False
    reference: bool = False  # not a run, but what runs are measured against
    group: GroupScore | None = None  # over seeds: `score` holds the means
    method: str | None = None

    @property
    def data(self) -> str | None:
        """The first digits of the digest of the images that were predicted; None where it is unknown."""
        digest = (self.score.protocol or {}).get("data") if self.score else None
        return None if digest is None else str(digest)[:8]


def read_rows(paths: Sequence[Path], baseline: str | None = None, split: Split = "test") -> list[LeaderboardRow]:
    """Read run directories, groups of them and score.json files; equal names are replaced by the paths.

    Directories are read for their score of `split`. Points are counted against `baseline`, a source as in
    `find_baseline`, in place of the one a row was scored against. Raises DataError when a score was made from other
    results than the run's.
    """
    rows = []
    for path in paths:
        group, folder = find_group(path), path if path.is_dir() else path.parent
        row = _read_group(group, split) if group else _read_run(path, _record(folder), split)
        rows.append(row if baseline is None else _rebased(row, baseline))
    names = [row.name for row in rows]
    pairs = zip(rows, paths, strict=True)
    return [replace(row, name=str(path)) if names.count(row.name) > 1 else row for row, path in pairs]


def _rebased(row: LeaderboardRow, baseline: str) -> LeaderboardRow:
    if row.group is not None:
        group = replace(row.group, scores=tuple(rebased(score, baseline) for score in row.group.scores))
        return replace(row, group=group, score=group.mean())
    return replace(row, score=row.score and rebased(row.score, baseline))


def _read_group(group: Group, split: Split) -> LeaderboardRow:
    """Return one row for a group; it counts as diverged when one of its runs has."""
    name = group.folder.resolve().name
    records = {folder: _record(folder) for folder in group.runs.values()}
    if any(record and record.status == "diverged" for record in records.values()):
        return LeaderboardRow(name, None, protocol=f"diverged, {seeds_text(group.seeds)}")
    scores = read_group_score(group, split)
    first, *_ = [_read_run(folder, record, split) for folder, record in records.items()]
    return replace(_row(name, scores.mean(), first.params), group=scores)


def _record(folder: Path) -> RunRecord | None:
    return read_record(folder / RECORD) if (folder / RECORD).is_file() else None


def _read_run(path: Path, record: RunRecord | None, split: Split) -> LeaderboardRow:
    folder = path if path.is_dir() else path.parent
    of_run = path.is_dir() or path.name in ("score.json", "score-val.json")
    name, home = path.stem, folder.resolve()
    if of_run:  # a seed of a group has both names
        name = f"{home.parent.name}/{home.name}" if find_group(home.parent) else home.name
    footprint, params = folder / "footprint.json", None
    if of_run and footprint.exists():
        if record:
            record.check_file(folder, footprint.name)
        params = float(read_footprint(footprint)["ratio"])
    if of_run and record and record.status == "diverged":
        return LeaderboardRow(name, None, params, "diverged")
    score = Score.read(path, split, record)
    if of_run and path.is_file():
        refuse_other_results(folder, score, record)
    return _row(name, score, params)


def _row(name: str, score: Score, params: float | None) -> LeaderboardRow:
    protocol = score.protocol or {}
    method = None if protocol.get("method") is None else str(protocol["method"])
    return LeaderboardRow(name, score, params, protocol_text(protocol), method=method)


def paper_rows() -> list[LeaderboardRow]:
    """Return the rows printed in papers, oldest first, rescored.

    The score computed from rounded accuracies differs from the published one by up to 3 points.
    """
    papers = parse_json(files("decathlon.reports").joinpath(PAPERS).read_bytes(), PAPERS)
    return [
        LeaderboardRow(
            paper["name"], _rescored(paper["accuracy"]), paper["params"], "published", paper["score"],
            paper["link"], published=True,
        )
        for paper in papers
    ]  # fmt: skip


def _rescored(percent: Mapping[str, float]) -> Score:
    domains = []
    for name, facts in OFFICIAL.items():
        accuracy = round(percent[name] / 100, 6)
        # exactly the float in OFFICIAL for Finetune, whose score is then exactly 2500
        error = round(1 - percent[name] / 100, 6)
        domains.append(DomainScore(name, accuracy, error, facts.test, facts.finetune_error))
    return Score(tuple(domains), OFFICIAL_TEXT)


def reference_rows(score: Score) -> list[LeaderboardRow]:
    """Return the references of a run: always answering the most frequent category, and the baseline."""
    rows = {
        "majority class": [d.majority for d in score.domains],
        "baseline": [None if d.baseline_error is None else 1 - d.baseline_error for d in score.domains],
    }
    found = []
    for name, parts in rows.items():
        # Not `replace`: a domain may be a mean over seeds, whose points do not follow from its error.
        domains = tuple(
            DomainScore(d.name, part, 1 - part, d.images, d.baseline_error, d.majority)
            for d, part in zip(score.domains, parts, strict=True)
            if part is not None
        )
        if len(domains) == len(parts):
            answers = replace(score, domains=domains, protocol=None)
            found.append(LeaderboardRow(name, answers, protocol="reference", reference=True))
    return found
