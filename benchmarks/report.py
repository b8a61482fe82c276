"""The fair table as Markdown."""

from __future__ import annotations

from typing import Any

from decathlon.reports.tables import Column, Table, Value, render

# names of domains in narrow columns
SHORT = {
    "aircraft": "airc", "cifar100": "c100", "daimlerpedcls": "dped", "gtsrb": "gtsr", "imagenet12": "imnet",
    "omniglot": "oglt", "ucf101": "ucf", "vgg-flowers": "flwr",
}  # fmt: skip


def markdown(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the results as a page: the machine, the command, the table, and how to read it."""
    machine = ", ".join(f"{name} {value}" for name, value in about["machine"].items())
    seeds = "one seed" if about["seeds"] == 1 else f"{about['seeds']} seeds, mean ± standard error"
    first, second = about["epochs"]
    head = f"Machine: {machine}.\n\n```\n{about['command']}\n```\n"
    title = (
        f"{about['data']}, trunk {about['trunk']}, {first} epochs and {second} more over it, {seeds}. "
        "`epochs`: those a row's weights have seen, its trunk's included. `#P`: bits over those of one trunk, "
        "heads left out and norms counted. `min`: training a seed, evaluation left out."
    )
    return f"{head}\n{render([_table(rows, about['seeds'])], 'markdown').lstrip()}\n{title}\n"


def _table(rows: list[dict[str, Any]], seeds: int) -> Table:
    names = list(rows[0]["domains"])
    diverged = [row for row in rows if "diverged" in row]
    rows = [row for row in rows if "diverged" not in row]
    columns = (
        Column("name", "row"),
        *(Column(name, SHORT.get(name, name)) for name in names),
        Column("mean", "mean"),
        Column("points", "points"),
        Column("ratio", "#P", 3),
        Column("published", "#P as published", 3),
        Column("epochs", "epochs", 0),
        Column("speed", "img/s", 0),
        Column("minutes", "min", 1),
    )
    ordered = sorted(rows, key=lambda row: -(row["score"]["mean"] or 0.0))
    cells = [_cells(row, names, seeds) for row in ordered]
    cells += [(row["name"], "diverged", *[None] * (len(columns) - 2)) for row in diverged]
    return Table("", columns, tuple(cells))


def _cells(row: dict[str, Any], names: list[str], seeds: int) -> tuple[Value, ...]:
    accuracies = (_mean_error(row["domains"][name]["accuracy"], seeds, 100, 1) for name in names)
    mean, points = _mean_error(row["accuracy"], seeds, 100, 2), _mean_error(row["score"], seeds, 1, 0)
    counted = row["ratio"], row["published"]["ratio"], float(row["epochs"])
    return row["name"], *accuracies, mean, points, *counted, row["images_per_second"], row["minutes"]


def _mean_error(value: dict[str, float | None], seeds: int, scale: float, digits: int) -> str | None:
    """Return a mean over seeds with its standard error."""
    if value["mean"] is None:
        return None
    middle = f"{scale * value['mean']:.{digits}f}"
    return middle if value["std"] is None else f"{middle} ± {scale * value['std'] / seeds**0.5:.{digits}f}"
