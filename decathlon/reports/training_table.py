"""The accuracies that training runs ended with, as a table."""

from collections.abc import Sequence
from typing import Any

from decathlon.reports.tables import Column, Row, Table
from decathlon.runs.logs import read_metrics
from decathlon.runs.record import RunRecord
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import Group, seeds_text
from decathlon.scoring.seed_scores import mean_std


def last_metrics(run: Run, record: RunRecord) -> dict[str, dict[str, Any]]:
    """Return the metrics of every domain in the epoch whose weights are kept, the last one or the best.

    Those of a finished run must be as training wrote them.
    """
    record.check_file(run.folder, run.metrics.name)
    return {row["domain"]: row for row in read_metrics(run.metrics) if row.get("best", True)}


def summary(run: Run) -> Table:
    """Return a run's final accuracies in percent, by domain and on average."""
    record = run.read()
    last = last_metrics(run, record)
    rows = []
    for name in record.names:
        validation = last[name].get("val_accuracy")
        rows.append((name, 100 * last[name]["train_accuracy"], None if validation is None else 100 * validation))
    validated = [value for _, _, value in rows if value is not None]
    means = sum(value for _, value, _ in rows) / len(rows), sum(validated) / len(validated) if validated else None
    columns = Column("domain", "domain"), Column("train", "train %", 1), Column("val", "val %", 1)
    return Table(f"{_title(record)}, seed {record.seed}", columns, tuple(rows), ("mean", *means))


def group_summary(group: Group) -> Table:
    """Return the final accuracies of a group: mean and standard deviation over its seeds."""
    runs = [Run(folder) for folder in group.runs.values()]
    tables = [summary(run) for run in runs]
    rows = [_across(same) for same in zip(*(table.rows for table in tables), strict=True)]
    footer = _across([table.footer for table in tables if table.footer is not None])
    domain, train, val = tables[0].columns
    columns = domain, train, Column("train_std", "±", 1), val, Column("val_std", "±", 1)
    return Table(f"{_title(runs[0].read())}, mean over {seeds_text(group.seeds)}", columns, tuple(rows), footer)


def _across(rows: Sequence[Row]) -> Row:
    """Merge rows of one domain from several tables, each number as its mean and deviation."""
    name, *values = zip(*rows, strict=True)
    deviations = [mean_std(value if not isinstance(value, str) else None for value in column) for column in values]
    return (name[0], *(part for one in deviations for part in (one.mean, one.std)))


def _title(record: RunRecord) -> str:
    return f"{record.label} over {record.trunk.name}, fitted on {record.fit}"
