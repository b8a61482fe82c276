"""The leaderboard: runs and published rows side by side, as far as they are comparable.

Runs share a board when they were scored on the same domains, split and images against the same baseline errors;
all others get a separate one.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from decathlon.data.ground_truth import Split
from decathlon.data.official import OFFICIAL
from decathlon.reports.leaderboard_rows import LeaderboardRow, paper_rows, reference_rows
from decathlon.reports.tables import Column, Place, Table, Value
from decathlon.scoring.baseline import OFFICIAL_TEXT
from decathlon.scoring.score import Score
from decathlon.system.text import several

OFFICIAL_BOARD = "Visual Decathlon, official benchmark"
SHORT_NAMES = {
    "aircraft": "Airc", "cifar100": "C100", "daimlerpedcls": "DPed", "dtd": "DTD", "gtsrb": "GTSR",
    "imagenet12": "ImNet", "omniglot": "Oglt", "svhn": "SVHN", "ucf101": "UCF", "vgg-flowers": "Flwr",
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """Rows that are comparable, over `domains` in their order."""

    label: str
    domains: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]
    split: Split = "test"

    def covers(self, row: LeaderboardRow) -> bool:
        """Return whether a row has all domains of the board; over fewer, means and totals do not compare."""
        return row.score is not None and {d.name for d in row.score.domains} == set(self.domains)

    def total(self, row: LeaderboardRow) -> float | None:
        """Return the row's total if it covers all domains of the board."""
        return None if row.score is None or not self.covers(row) else row.score.total


def boards(runs: Sequence[LeaderboardRow], published: bool | None = None) -> list[Board]:
    """Sort rows into boards, the highest score first.

    Every board with runs gets reference rows: the most frequent class and the baseline. Published rows are added
    with `published`; by default when a run is scored on the official benchmark, and when there are no runs.
    """
    groups = _group(runs)
    for rows in groups.values():
        rows += _references(rows)
    diverged = [row for row in runs if row.score is None]
    if diverged:
        groups.setdefault(next(iter(groups), "diverged"), []).extend(diverged)
    if published or (published is None and (not runs or OFFICIAL_BOARD in groups)):
        groups.setdefault(OFFICIAL_BOARD, []).extend(paper_rows())
    labels: list[str] = []
    for key, rows in groups.items():
        label = OFFICIAL_BOARD if key == OFFICIAL_BOARD else _label(rows)
        labels.append(label if label not in labels else f"{label}, number {len(labels) + 1}")
    return [_board(label, rows) for label, rows in zip(labels, groups.values(), strict=True)]


def to_table(board: Board) -> Table:
    """Return the board as a table, accuracies in %."""
    with_printed = any(row.published for row in board.rows)
    over_seeds: Place = "everywhere" if any(row.group for row in board.rows) else "data"
    columns = [
        Column("benchmark", "benchmark", place="data"),
        Column("name", "name"),
        Column("method", "method", place="wide" if any(row.method for row in board.rows) else "data"),
        Column("params_ratio", "#P", digits=2, best="min"),
        *(Column(f"{name} %", SHORT_NAMES.get(name, name), 2, "max", "wide") for name in board.domains),
        Column("mean accuracy %", "mean", digits=2, best="max"),
        Column("mean accuracy std %", "±", digits=2, place=over_seeds),
        Column("score", "score", digits=1, best="max"),
        Column("score_std", "±", digits=1, place=over_seeds),
        Column("printed_score", "printed", digits=0, place="wide" if with_printed else "data"),
        Column("protocol", "protocol"),
        Column("data", "data", place="wide" if len({row.data for row in board.rows if row.data}) > 1 else "data"),
        Column("link", "link", place="data"),
    ]
    values = tuple(_values(board, row) for row in board.rows)
    aside = tuple(line for line, row in zip(values, board.rows, strict=True) if row.reference)
    split = "test" if board.split == "test" else "validation"
    return Table(f"{board.label}: {split} accuracy in %", tuple(columns), values, aside=aside)


def _values(board: Board, row: LeaderboardRow) -> tuple[Value, ...]:
    accuracy = {} if row.score is None else {d.name: round(100 * d.accuracy, 4) for d in row.score.domains}
    percent = (accuracy.get(name) for name in board.domains)
    numbers: tuple[float | None, ...] = (None,) * 4
    if row.score is not None and board.covers(row):
        std, total_std = (row.group.mean_accuracy.std, row.group.total.std) if row.group else (None, None)
        numbers = 100 * row.score.mean_accuracy, None if std is None else 100 * std, row.score.total, total_std
    rounded = (None if number is None else round(number, 4) for number in numbers)
    start = board.label, row.name, row.method, row.params
    return (*start, *percent, *rounded, row.printed_score, row.protocol, row.data, row.link)


def _board(label: str, rows: Sequence[LeaderboardRow]) -> Board:
    names = [d.name for row in rows if row.score is not None for d in row.score.domains]
    domains = tuple(OFFICIAL) if label == OFFICIAL_BOARD else tuple(dict.fromkeys(names))
    board = Board(label, domains, (), next((row.score.split for row in rows if row.score is not None), "test"))

    def rank(row: LeaderboardRow) -> tuple[float, float]:
        total = board.total(row)
        return (1 if total is None else -total), -(row.score.mean_accuracy if row.score is not None else -1.0)

    return replace(board, rows=tuple(sorted(rows, key=rank)))


def _references(runs: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """Return floor and baseline of the run with the most domains; the official baseline is a published row."""
    widest = max((row.score for row in runs if row.score is not None), key=lambda score: len(score.domains))
    return [row for row in reference_rows(widest) if row.name != "baseline" or widest.baseline != OFFICIAL_TEXT]


def _group(runs: Sequence[LeaderboardRow]) -> dict[Hashable, list[LeaderboardRow]]:
    groups: dict[Hashable, list[LeaderboardRow]] = {}
    scores = [row.score for row in runs if row.score is not None]
    for row in runs:
        if row.score is None:
            continue
        key = _benchmark(row.score)
        if all(domain.baseline_error is None for domain in row.score.domains):
            # Without points nothing can be confused: its accuracies join the board of its benchmark.
            rivals = (_benchmark(other) for other in scores if other.total is not None)
            key = next((rival for rival in rivals if rival[:3] == key[:3]), key)
        groups.setdefault(OFFICIAL_BOARD if key == (OFFICIAL_BOARD,) else key, []).append(row)
    return groups


def _benchmark(score: Score) -> tuple[Hashable, ...]:
    """Return a key that two scores share exactly when they are comparable."""
    official = all(d.name in OFFICIAL and d.images == OFFICIAL[d.name].test for d in score.domains)
    if official and score.baseline == OFFICIAL_TEXT and score.split == "test":
        return (OFFICIAL_BOARD,)
    images = frozenset((d.name, d.images) for d in score.domains)
    errors = frozenset((d.name, d.baseline_error) for d in score.domains)
    return score.split, str((score.protocol or {}).get("benchmark")), images, errors


def _label(rows: Sequence[LeaderboardRow]) -> str:
    scores = [row.score for row in rows if row.score is not None]
    score = next((score for score in scores if score.total is not None), scores[0] if scores else None)
    if score is None:
        return "Runs without a score"
    name = (score.protocol or {}).get("benchmark")
    known = f"Benchmark {name}" if name is not None else f"A benchmark of {several(len(score.domains), 'domain')}"
    return f"{known}, baseline {score.baseline}"


def notes(found: Sequence[Board]) -> list[str]:
    """Return notes that keep a reader from comparing rows that are not comparable."""
    sentences = []
    published = any(row.published for board in found for row in board.rows)
    if published and not all(board.label == OFFICIAL_BOARD for board in found):
        sentences.append(
            "The published rows are of the official benchmark; their numbers cannot be compared with other runs."
        )
    if sum(any(not row.published for row in board.rows) for board in found) > 1:
        sentences.append(
            "These runs differ in domains, split, images or baseline; compare rows within a table, never across "
            "tables."
        )
    sentences += [sentence for board in found for sentence in _truth_notes(board)]
    sentences += (sentence for board in found for row in board.rows for sentence in _row_notes(board, row))
    if published:
        sentences.append(
            "Scores are computed here from the rounded accuracies; 'printed' is the score stated in the paper."
        )
    return sentences


def _truth_notes(board: Board) -> list[str]:
    """Return a note for every two rows with the same domains that were scored against different answers."""
    first: dict[Hashable, LeaderboardRow] = {}
    sentences = []
    for row in board.rows:
        if row.score is None or row.score.truth is None or row.reference:
            continue
        rival = first.setdefault(frozenset(domain.name for domain in row.score.domains), row)
        if rival.score is not None and rival.score.truth != row.score.truth:
            sentences.append(
                f"{rival.name} and {row.name} were scored against different ground truths. Do not compare "
                "them, or score both with the same --truth."
            )
    return sentences


def _row_notes(board: Board, row: LeaderboardRow) -> list[str]:
    """Return why a row has no score or no total in its board; empty when it has one."""
    if row.score is None:
        return [f"{row.name} diverged in training and has no score."]
    if row.score.total is None:
        return [] if row.reference else [f"{row.name}: {sentence}" for sentence in row.score.notes()]
    if board.total(row) is None:
        return [f"{row.name} answers {several(len(row.score.domains), 'domain')}, so it has no total here."]
    return []
