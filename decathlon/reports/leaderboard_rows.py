"""The rows of a leaderboard: what is known of a run, or of a published row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decathlon.errors import DataError
from decathlon.runs.logs import read_footprint
from decathlon.runs.record import RECORD, RunRecord, read_record
from decathlon.runs.seed_group import Group, find_group, seeds_text
from decathlon.scoring.protocol import protocol_text
from decathlon.scoring.published import published_rows
from decathlon.scoring.score import DomainScore, Score, how_to_score
from decathlon.scoring.seed_scores import GroupScore, read_group_score
from decathlon.system.files import sha256


@dataclass(frozen=True)
class LeaderboardRow:
    """One row: `score` is None for a run that diverged, `params` is the footprint in trunks.

    `method` is its name with its options, `protocol` says what the row was fitted on, `printed_score` is what a
    paper states.
    """

    name: str
    score: Score | None
    params: float | None = None
    protocol: str | None = None
    printed_score: float | None = None
    link: str | None = None
    published: bool = False
    reference: bool = False  # no run: what runs are measured by
    group: GroupScore | None = None  # over seeds: `score` holds the means
    method: str | None = None


def read_rows(paths: Sequence[Path]) -> list[LeaderboardRow]:
    """Read run directories and score.json files; those of one name are told apart by their paths."""
    entries = [read_row(path) for path in paths]
    names = [entry.name for entry in entries]
    return [
        replace(entry, name=str(path)) if names.count(entry.name) > 1 else entry
        for entry, path in zip(entries, paths, strict=True)
    ]


def read_row(path: Path) -> LeaderboardRow:
    """Read a run directory, a group of them, or a score.json.

    Raises DataError when a score is not of the run's results.
    """
    group = find_group(path)
    return _read_group(group) if group else _read_run(path, _record(path if path.is_dir() else path.parent))


def _read_group(group: Group) -> LeaderboardRow:
    """Return one row for a group; it has diverged when one of its runs has."""
    name = group.folder.resolve().name
    records = {folder: _record(folder) for folder in group.runs.values()}
    if any(record and record.status == "diverged" for record in records.values()):
        return LeaderboardRow(name, None, protocol=f"diverged, {seeds_text(group.seeds)}")
    scores = read_group_score(group)
    runs = [_read_run(folder, record) for folder, record in records.items()]
    mean = scores.mean()
    protocol = mean.protocol or {}
    return LeaderboardRow(
        name, mean, runs[0].params, protocol_text(protocol), group=scores, method=_method(protocol)
    )


def _record(folder: Path) -> RunRecord | None:
    return read_record(folder / RECORD) if (folder / RECORD).is_file() else None


def _read_run(path: Path, record: RunRecord | None) -> LeaderboardRow:
    folder = path if path.is_dir() else path.parent
    of_run = path.is_dir() or path.name == "score.json"
    name = _name(folder.resolve()) if of_run else path.stem
    params = _footprint(folder, record) if of_run else None
    if of_run and record and record.status == "diverged":
        return LeaderboardRow(name, None, params, "diverged")
    score = Score.read(path)
    protocol = score.protocol or {}
    results, digest = folder / "results.json", protocol.get("results_sha256")
    if of_run and digest is not None and results.exists() and sha256(results) != digest:
        again = how_to_score(folder, partial=bool(score.missing))
        raise DataError(f"{folder}/score.json was made from other results: run '{again}'.")
    return LeaderboardRow(name, score, params, protocol_text(protocol), method=_method(protocol))


def _name(folder: Path) -> str:
    """Return a run's name; one seed of a group is called by both."""
    return f"{folder.parent.name}/{folder.name}" if find_group(folder.parent) else folder.name


def paper_rows() -> list[LeaderboardRow]:
    """Return the rows that papers printed."""
    return [
        LeaderboardRow(row.name, row.score, row.params, "published", row.printed_score, row.link, published=True)
        for row in published_rows()
    ]


def reference_rows(score: Score) -> list[LeaderboardRow]:
    """Return what a run is to be measured by: the most frequent category always, and the baseline's errors."""
    rows = {
        "majority class": [d.majority for d in score.domains],
        "baseline": [None if d.baseline_error is None else 1 - d.baseline_error for d in score.domains],
    }
    return [
        LeaderboardRow(
            name,
            replace(score, domains=_answering(score, parts), protocol=None),
            protocol="reference",
            reference=True,
        )
        for name, parts in rows.items()
        if None not in parts
    ]


def _answering(score: Score, accuracies: Sequence[float | None]) -> tuple[DomainScore, ...]:
    return tuple(
        # A new one: the domain may be a mean over seeds, whose points do not follow from its error.
        DomainScore(d.name, accuracy or 0.0, 1 - (accuracy or 0.0), d.images, d.baseline_error, d.majority)
        for d, accuracy in zip(score.domains, accuracies, strict=True)
    )


def _method(protocol: Mapping[str, Any]) -> str | None:
    return str(protocol["method"]) if protocol.get("method") is not None else None


def _footprint(folder: Path, record: RunRecord | None) -> float | None:
    file = folder / "footprint.json"
    if not file.exists():
        return None
    if record:
        record.check_file(folder, file.name)
    return float(read_footprint(file)["ratio"])
