r"""Search a recipe on the validation split, under one declared budget.

    \b
    python -m benchmarks.search --data mini.h5 --out runs/search --results results/name \
        --vary lr=0.005,0.01,0.02 --vary weight_decay=0.03,0.1,0.3 --trials 6 -- --method bn --trunk wrn-16-1

Trials are drawn from all combinations of the values, without repetition; without --trials all of them are tried.
With --star the first values are the centre, and every other trial changes one of them; the picture then has a line
for each.
Each trial is an ordinary run; test images are never looked at. Stopped and started again, it continues, and with
--workers some trials run side by side. After every trial the results are written: NAME.json, NAME.md and NAME.png,
a picture of the best accuracy at each pair of values of the first two options that have several.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import children
from benchmarks.machine import command_line, machine
from decathlon.errors import DecathlonError, UsageError
from decathlon.reports.tables import Column, Table, render
from decathlon.runs.logs import METRICS, read_lines
from decathlon.runs.record import read_status
from decathlon.runs.run_directory import Run
from decathlon.system.files import read_json, write_bytes, write_json
from decathlon.system.seeding import generator

Options = dict[str, Any]
Found = list[dict[str, Any]]  # the trials so far


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Packed file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the trials.")
@click.option("--results", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.option("--base", default="common", show_default=True, help="The built-in recipe that trials change.")
@click.option("--vary", multiple=True, metavar="NAME=VALUE,...", required=True, help="Values of a recipe's option.")
@click.option("--also", multiple=True, metavar="NAME=VALUE", help="An option of the recipe in every trial.")
@click.option("--trials", type=click.IntRange(1), help="How many combinations are tried. [default: all]")
@click.option("--star", is_flag=True, help="Change one option at a time from the first values.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trials side by side.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    data: Path, out: Path, results: Path, base: str, vary: tuple[str, ...], also: tuple[str, ...],
    trials: int | None, star: bool, workers: int, options: tuple[str, ...],
) -> None:  # fmt: skip
    """Train the trials; OPTIONS after -- go to every `decathlon train`."""
    fixed = dict(_value(text) for text in also)
    values = [_values(text) for text in vary]
    chosen = around(values) if star else draw(values, trials)
    about = {
        "machine": machine(), "command": command_line("search"), "data": data.name, "base": base, "also": fixed,
        "options": list(options),
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    found: Found = []

    def run(varied: Options) -> dict[str, Any]:
        return trial(out, base, fixed, varied, ["--data", str(data), *options])

    with ThreadPoolExecutor(workers) as pool:
        for each in pool.map(run, chosen):
            found.append(each)
            click.echo(f"{each['accuracy']}  {each['varied']}", err=True)
            write(about, found, results, changes if star else picture)


def draw(values: list[tuple[str, list[Any]]], trials: int | None) -> list[Options]:
    """Return combinations of the options' values: all in order, or some of them by a fixed draw."""
    names = [name for name, _ in values]
    every = [dict(zip(names, row, strict=True)) for row in itertools.product(*(row for _, row in values))]
    if trials is None or trials >= len(every):
        return every
    order = torch.randperm(len(every), generator=generator("search", *map(str, names))).tolist()
    return [every[place] for place in order[:trials]]


def around(values: list[tuple[str, list[Any]]]) -> list[Options]:
    """Return the options' first values, and every change of one of them."""
    centre = {name: row[0] for name, row in values}
    return [centre, *(centre | {name: value} for name, row in values for value in row[1:])]


def trial(out: Path, base: str, fixed: Options, varied: Options, train: list[str]) -> dict[str, Any]:
    """Train one trial, or take it up where it stopped; return its accuracy on the validation split."""
    folder = out / "_".join(f"{name}={value}" for name, value in varied.items()).replace("/", "-")
    recipe = folder.with_name(f"{folder.name}.toml")
    lines = [f"base = {json.dumps(base)}", *(f"{name} = {json.dumps(v)}" for name, v in (fixed | varied).items())]
    text = "\n".join(lines) + "\n"
    if recipe.exists() and recipe.read_text() != text:
        raise UsageError(f"{recipe} was begun with other options. Choose another --out.")
    write_bytes(recipe, text.encode())
    timed = folder.with_name(f"{folder.name}.json")
    seconds = read_json(timed)["seconds"] if timed.exists() else 0.0
    seconds += children.train(folder, ["--recipe", str(recipe), *train], folder.with_name(f"{folder.name}.log"))
    write_json(timed, {"seconds": seconds})
    return {"varied": varied, "accuracy": accuracy(Run(folder)), "cpu_seconds": seconds, "run": folder.name}


def accuracy(run: Run) -> float | None:
    """Return the mean over the domains of a run's last validation accuracy; None where it diverged."""
    if read_status(run.folder) != "done":
        return None
    last = {row["domain"]: row["val_accuracy"] for row in read_lines(run.metrics, METRICS) if "val_accuracy" in row}
    return float(sum(last.values()) / len(last))


def write(
    about: dict[str, Any], found: Found, results: Path, draw: Callable[[Found, list[str], Path], None]
) -> None:
    """Write what was found so far, with a picture."""
    results.parent.mkdir(parents=True, exist_ok=True)
    write_json(results.with_name(f"{results.name}.json"), about | {"trials": found})
    names = list(found[0]["varied"])
    columns = (Column("name", "val"), *(Column(name, name) for name in names), Column("seconds", "cpu s", 0))
    best = sorted(found, key=lambda row: -(row["accuracy"] or 0.0))
    rows = [(_percent(row), *(str(row["varied"][name]) for name in names), row["cpu_seconds"]) for row in best]
    table = render([Table("", columns, tuple(rows))], "markdown").lstrip()
    text = (
        f"```\n{about['command']}\n```\n\nMean accuracy on the validation split, {len(found)} trials.\n\n{table}\n"
    )
    write_bytes(results.with_name(f"{results.name}.md"), text.encode())
    draw(found, names, results.with_name(f"{results.name}.png"))


def _percent(row: dict[str, Any]) -> str:
    return "diverged" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f}"


def picture(found: Found, names: list[str], path: Path) -> None:
    """Draw, for the first two options of several values, the best accuracy at each pair of them."""
    from matplotlib.figure import Figure

    kinds = {
        name: sorted({row["varied"][name] for row in found}, key=lambda v: (str(type(v)), v)) for name in names
    }
    several = [name for name in names if len(kinds[name]) > 1][:2]
    if len(several) < 2:
        return
    across, down = several
    best = torch.full((len(kinds[down]), len(kinds[across])), float("nan"))
    for row in [row for row in found if row["accuracy"] is not None]:
        place = kinds[down].index(row["varied"][down]), kinds[across].index(row["varied"][across])
        best[place] = max(100 * row["accuracy"], torch.nan_to_num(best[place], nan=0.0).item())
    figure = Figure(figsize=(1.5 + 0.8 * len(kinds[across]), 1.2 + 0.6 * len(kinds[down])))
    axes = figure.subplots()
    middle = (best[~best.isnan()].min() + best[~best.isnan()].max()) / 2
    axes.imshow(best.numpy(), cmap="viridis", aspect="auto", origin="lower")
    for place in itertools.product(range(len(kinds[down])), range(len(kinds[across]))):
        if not torch.isnan(best[place]):
            colour = "black" if best[place] > middle else "white"
            axes.text(place[1], place[0], f"{best[place]:.1f}", ha="center", va="center", color=colour)
    axes.set(xlabel=across, ylabel=down, title="validation accuracy, %")
    axes.set_xticks(range(len(kinds[across])), [str(value) for value in kinds[across]])
    axes.set_yticks(range(len(kinds[down])), [str(value) for value in kinds[down]])
    figure.savefig(path, dpi=120, bbox_inches="tight")


def changes(found: Found, names: list[str], path: Path) -> None:
    """Draw, for every change of one option, how far it is from the centre, which is the first trial."""
    from matplotlib.figure import Figure

    centre = found[0]
    rows = [row for row in found[1:] if row["accuracy"] is not None and centre["accuracy"] is not None]
    if not rows:
        return
    labels = [
        next(f"{name} {row['varied'][name]}" for name in names if row["varied"][name] != centre["varied"][name])
        for row in rows
    ]
    figure = Figure(figsize=(5, 0.8 + 0.25 * len(rows)))
    axes = figure.subplots()
    axes.barh(labels, [100 * (row["accuracy"] - centre["accuracy"]) for row in rows], color="tab:blue")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set(xlabel=f"validation accuracy, % above the centre ({100 * centre['accuracy']:.1f})")
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _values(text: str) -> tuple[str, list[Any]]:
    name, _, values = text.partition("=")
    return name, [_parsed(value) for value in values.split(",")]


def _value(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, _parsed(value)


def _parsed(text: str) -> Any:
    """Return a number, true or false as such, and anything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


if __name__ == "__main__":
    try:
        command()
    except (DecathlonError, OSError) as error:
        sys.exit(f"Error: {error}")
