"""A score as a table on the terminal."""

from decathlon.reports.tables import Column, Row, Table
from decathlon.reports.terminal import write
from decathlon.runs.seed_group import seeds_text
from decathlon.scoring.score import MOST_POINTS, Score
from decathlon.scoring.seed_scores import GroupScore, MeanStd

COLUMNS = (
    Column("domain", "domain"),
    Column("images", "images", digits=0),
    Column("accuracy", "accuracy %", digits=2),
    Column("error", "error %", digits=2),
    Column("baseline_error", "baseline error %", digits=2),
    Column("points", "points", digits=1),
)


def show_score(found: Score | GroupScore) -> None:
    """Print a score: one row per domain, mean and total below, then protocol, baseline and missing domains.

    A group has means with their standard deviations over the seeds.
    """
    score = found.mean() if isinstance(found, GroupScore) else found
    table = _table(score)
    if isinstance(found, GroupScore):
        rows = tuple(_with_std(row, found.accuracy(i), found.points(i)) for i, row in enumerate(table.rows))
        footer = _with_std(table.footer or (), found.mean_accuracy, found.total)
        columns = (*COLUMNS[:3], Column("accuracy_std", "±", 2), *COLUMNS[3:], Column("points_std", "±", 1))
        table = Table(f"{table.title}, mean over {seeds_text(found.seeds)}", columns, rows, footer)
    write([table], "table", [_protocol(score), f"Baseline: {score.baseline}.", *score.notes()])


def _with_std(row: Row, accuracy: MeanStd, points: MeanStd) -> Row:
    percent = None if accuracy.std is None else round(100 * accuracy.std, 4)
    return (*row[:3], percent, *row[3:], points.std)


def _table(score: Score) -> Table:
    rows = tuple(
        (d.name, d.images, round(100 * d.accuracy, 4), round(100 * d.error, 4),
         None if d.baseline_error is None else 100 * d.baseline_error, d.points)
        for d in score.domains
    )  # fmt: skip
    mean = round(100 * score.mean_accuracy, 4)
    images = sum(domain.images for domain in score.domains)
    most = MOST_POINTS * len(score.domains)
    title = "accuracy, no total" if score.total is None else f"score {score.total:.1f} of {most:.0f}"
    title = title.capitalize() if score.split == "test" else f"Validation {title}"
    return Table(title, COLUMNS, rows, footer=("mean, total", images, mean, 100 - mean, None, score.total))


def _protocol(score: Score) -> str:
    if score.protocol is None:
        return "Protocol: unknown, there is no protocol file beside the results."
    digests = "results_sha256", "images", "weights"  # for programs; `data` stands for them
    facts = {key: str(value) for key, value in score.protocol.items() if key not in digests}
    facts |= {"data": facts["data"][:8]} if "data" in facts else {}
    # a value that is itself a list gets brackets
    parts = (f"{key} ({value})" if ", " in value else f"{key} {value}" for key, value in facts.items())
    return f"Protocol: {', '.join(parts)}."
