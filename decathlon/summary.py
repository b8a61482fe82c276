"""What a finished training run reached, as a table."""

from __future__ import annotations

import json
from typing import Any

from decathlon.run import Run
from decathlon.tables import Column, Table


def last_metrics(run: Run) -> dict[str, dict[str, Any]]:
    """Return the last line of metrics of every domain."""
    lines = run.metrics.read_text(encoding="utf-8").splitlines()
    return {row["domain"]: row for row in map(json.loads, lines)}


def summary(run: Run) -> Table:
    """Return the accuracies a run ended with, in percent, by domain and on average."""
    asked, last = run.read(), last_metrics(run)
    rows = [
        (name, 100 * last[name]["train_accuracy"], _percent(last[name].get("val_accuracy")))
        for name in (entry["name"] for entry in asked["domains"])
    ]
    validated = [value for _, _, value in rows if value is not None]
    means = sum(value for _, value, _ in rows) / len(rows), sum(validated) / len(validated) if validated else None
    title = f"{asked['method']} over {asked['trunk']['name']}, fitted on {asked['fit']}, seed {asked['seed']}"
    columns = Column("domain", "domain"), Column("train", "train %", 1), Column("val", "val %", 1)
    return Table(title, columns, tuple(rows), ("mean", *means))


def _percent(part: float | None) -> float | None:
    return None if part is None else 100 * part
