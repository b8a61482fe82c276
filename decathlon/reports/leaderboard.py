"""The leaderboard: runs and published rows side by side, as far as they can be compared.

Runs stand in one board when they were scored on the same domains and images against the same baseline errors.
Everything else stands in a board of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from decathlon.data.official import OFFICIAL
from decathlon.reports.leaderboard_rows import LeaderboardRow, paper_rows, reference_rows
from decathlon.reports.tables import Column, Place, Table, Value
from decathlon.scoring.baseline import OFFICIAL_TEXT
from decathlon.scoring.score import Score
from decathlon.scoring.seed_scores import MeanStd
from decathlon.system.text import several

OFFICIAL_BOARD = "Visual Decathlon, official benchmark"
SHORT_NAMES = {
    "aircraft": "Airc", "cifar100": "C100", "daimlerpedcls": "DPed", "dtd": "DTD", "gtsrb": "GTSR",
    "imagenet12": "ImNet", "omniglot": "Oglt", "svhn": "SVHN", "ucf101": "UCF", "vgg-flowers": "Flwr",
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """Entries that can be compared with each other, over `domains` in their order."""

    label: str
    domains: tuple[str, ...]
    entries: tuple[LeaderboardRow, ...]

    @property
    def official(self) -> bool:
        """Whether this is the board of the official benchmark."""
        return self.label == OFFICIAL_BOARD

    def total(self, entry: LeaderboardRow) -> float | None:
        """Return the entry's total, if it is one over all domains of the board."""
        complete = entry.score is not None and {d.name for d in entry.score.domains} == set(self.domains)
        return entry.score.total if complete and entry.score is not None else None


def boards(runs: Sequence[LeaderboardRow], published: bool | None = None) -> list[Board]:
    """Sort entries into boards, the highest score first.

    Every board with runs gets the rows of the most frequent class and of the baseline. Published rows are added
    where `published` says so; by default when a run is scored on the official benchmark, and without runs.
    """
    groups = _group(runs)
    for entries in groups.values():
        entries += _references(entries)
    diverged = [entry for entry in runs if entry.score is None]
    if diverged:
        groups.setdefault(next(iter(groups), "diverged"), []).extend(diverged)
    if published or (published is None and (not runs or OFFICIAL_BOARD in groups)):
        groups.setdefault(OFFICIAL_BOARD, []).extend(paper_rows())
    labels: list[str] = []
    for key, entries in groups.items():
        label = OFFICIAL_BOARD if key == OFFICIAL_BOARD else _label(entries)
        labels.append(label if label not in labels else f"{label}, number {len(labels) + 1}")
    return [_board(label, entries) for label, entries in zip(labels, groups.values(), strict=True)]


def to_table(board: Board) -> Table:
    """Return the board as a table, accuracies in %."""
    with_printed = any(entry.published for entry in board.entries)
    over_seeds: Place = "everywhere" if any(entry.group for entry in board.entries) else "data"
    columns = [
        Column("benchmark", "benchmark", place="data"),
        Column("name", "name"),
        Column("method", "method", place="wide" if any(entry.method for entry in board.entries) else "data"),
        Column("params_ratio", "#P", digits=2, best="min"),
        *(Column(f"{name} %", SHORT_NAMES.get(name, name), 2, "max", "wide") for name in board.domains),
        Column("mean accuracy %", "mean", digits=2, best="max"),
        Column("mean accuracy std %", "±", digits=2, place=over_seeds),
        Column("score", "score", digits=1, best="max"),
        Column("score_std", "±", digits=1, place=over_seeds),
        Column("printed_score", "printed", digits=0, place="wide" if with_printed else "data"),
        Column("protocol", "protocol"),
        Column("link", "link", place="data"),
    ]
    rows = tuple(_row(board, entry) for entry in board.entries)
    aside = tuple(row for row, entry in zip(rows, board.entries, strict=True) if entry.reference)
    return Table(f"{board.label}: test accuracy in %", tuple(columns), rows, aside=aside)


def _row(board: Board, entry: LeaderboardRow) -> tuple[Value, ...]:
    accuracy = {} if entry.score is None else {d.name: round(100 * d.accuracy, 4) for d in entry.score.domains}
    # A mean over other domains would stand in a column where it is no rival.
    whole = entry.score is not None and len(accuracy) == len(board.domains)
    mean = round(100 * entry.score.mean_accuracy, 4) if whole and entry.score is not None else None
    percent = (accuracy.get(name) for name in board.domains)
    total = board.total(entry)
    score = None if total is None else round(total, 4)
    mean_std = _std(entry.group.mean_accuracy, 100) if whole and entry.group is not None else None
    score_std = _std(entry.group.total) if total is not None and entry.group is not None else None
    ends = (mean, mean_std, score, score_std, entry.printed_score, entry.protocol, entry.link)
    return (board.label, entry.name, entry.method, entry.params, *percent, *ends)


def _std(found: MeanStd, unit: float = 1.0) -> float | None:
    return None if found.std is None else round(unit * found.std, 4)


def _board(label: str, entries: Sequence[LeaderboardRow]) -> Board:
    names = [d.name for entry in entries if entry.score is not None for d in entry.score.domains]
    domains = tuple(OFFICIAL) if label == OFFICIAL_BOARD else tuple(dict.fromkeys(names))
    board = Board(label, domains, ())

    def rank(entry: LeaderboardRow) -> tuple[float, float]:
        return -(board.total(entry) or -1.0), -(entry.score.mean_accuracy if entry.score is not None else -1.0)

    return replace(board, entries=tuple(sorted(entries, key=rank)))


def _references(runs: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """Return the floor and the baseline of the run with the most domains; the official one is a published row."""
    widest = max((entry.score for entry in runs if entry.score is not None), key=lambda score: len(score.domains))
    return [row for row in reference_rows(widest) if row.name != "baseline" or widest.baseline != OFFICIAL_TEXT]


def _group(runs: Sequence[LeaderboardRow]) -> dict[Hashable, list[LeaderboardRow]]:
    groups: dict[Hashable, list[LeaderboardRow]] = {}
    scores = [entry.score for entry in runs if entry.score is not None]
    for entry in runs:
        if entry.score is None:
            continue
        key = _benchmark(entry.score)
        if all(domain.baseline_error is None for domain in entry.score.domains):
            # Without points there is nothing to confuse: its accuracies stand beside those of its benchmark.
            rivals = (_benchmark(other) for other in scores if other.total is not None)
            key = next((rival for rival in rivals if rival[:2] == key[:2]), key)
        groups.setdefault(OFFICIAL_BOARD if key == (OFFICIAL_BOARD,) else key, []).append(entry)
    return groups


def _benchmark(score: Score) -> tuple[Hashable, ...]:
    """Return what two scores share exactly when they can be compared."""
    official = all(d.name in OFFICIAL and d.images == OFFICIAL[d.name].test for d in score.domains)
    if official and score.baseline == OFFICIAL_TEXT:
        return (OFFICIAL_BOARD,)
    images = frozenset((d.name, d.images) for d in score.domains)
    errors = frozenset((d.name, d.baseline_error) for d in score.domains)
    return str((score.protocol or {}).get("benchmark")), images, errors


def _label(entries: Sequence[LeaderboardRow]) -> str:
    scores = [entry.score for entry in entries if entry.score is not None]
    score = next((score for score in scores if score.total is not None), scores[0] if scores else None)
    if score is None:
        return "Runs without a score"
    name = (score.protocol or {}).get("benchmark")
    benchmark = (
        f"Benchmark {name}" if name is not None else f"A benchmark of {several(len(score.domains), 'domain')}"
    )
    return f"{benchmark}, baseline {score.baseline}"


def notes(found: Sequence[Board]) -> list[str]:
    """Return what a reader must know so as not to compare what cannot be compared."""
    sentences = []
    published = any(entry.published for board in found for entry in board.entries)
    if published and not all(board.official for board in found):
        sentences.append(
            "The published rows are of the official benchmark: their numbers cannot be compared with other runs."
        )
    if sum(any(not entry.published for entry in board.entries) for board in found) > 1:
        sentences.append(
            "These runs differ in their domains, images or baseline: compare rows within a table, never across."
        )
    sentences += [sentence for board in found for sentence in _truth_notes(board)]
    sentences += (sentence for board in found for entry in board.entries for sentence in _entry_notes(board, entry))
    if published:
        sentences.append(
            "Score is computed here from the rounded accuracies; 'printed' is the score the paper states."
        )
    return sentences


def _truth_notes(board: Board) -> list[str]:
    """Return a sentence for every two rows with the same domains that were scored against other answers."""
    first: dict[Hashable, LeaderboardRow] = {}
    sentences = []
    for entry in board.entries:
        if entry.score is None or entry.score.truth is None or entry.reference:
            continue
        rival = first.setdefault(frozenset(domain.name for domain in entry.score.domains), entry)
        if rival.score is not None and rival.score.truth != entry.score.truth:
            sentences.append(
                f"{rival.name} and {entry.name} were scored against different ground truths: do not compare them, "
                "or score both with the same --truth."
            )
    return sentences


def _entry_notes(board: Board, entry: LeaderboardRow) -> list[str]:
    """Return why an entry has no score or no total in its board; empty when it has one."""
    if entry.score is None:
        return [f"{entry.name} diverged in training: it has no score."]
    if entry.score.total is None:
        return [] if entry.reference else [f"{entry.name}: {sentence}" for sentence in entry.score.notes()]
    if board.total(entry) is None:
        return [f"{entry.name} answers {several(len(entry.score.domains), 'domain')}: it has no total here."]
    return []
