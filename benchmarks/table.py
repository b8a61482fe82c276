"""The fair table: every method on one packed file, under one recipe, over one trunk.

    python -m benchmarks.table --data mini.h5 --truth annotations --out runs/table --results benchmarks/results/name

Each row is trained, predicted and scored by the toolkit's own commands. Stopped and started again, it continues:
finished runs are kept, an interrupted one resumes. The results, NAME.json and NAME.md, are written after every row.
Points are counted against the errors of the `finetune` row, which therefore has 250 per domain.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import command_line, machine
from benchmarks.report import markdown
from benchmarks.rows import FINETUNE, ROWS, TRUNK, Row, passes
from decathlon.cli.main import command as decathlon
from decathlon.errors import DecathlonError, DivergedError, UsageError
from decathlon.reports.footprint_report import count_run
from decathlon.runs.logs import TIMING, read_lines
from decathlon.runs.run_directory import TIMING_FILE, Run
from decathlon.runs.seed_group import find_group
from decathlon.system.files import read_json, write_bytes, write_json

KNOWN = {row.name: row for row in ROWS}


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Packed file.")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), required=True, help="Test annotations.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--results", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.option("--trunk", default="wrn-16-1", show_default=True, help="A trunk's name.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@click.option("--only", multiple=True, metavar="ROW", help="Rows to train, in addition to the trunk and finetune.")
@click.option(
    "--epochs", type=click.IntRange(1), default=60, show_default=True, help="Of the trunk, and of each row."
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    data: Path, truth: Path, out: Path, results: Path, trunk: str, seeds: int, only: tuple[str, ...], epochs: int,
    options: tuple[str, ...],
) -> None:  # fmt: skip
    """Train the rows; OPTIONS after -- go to every `decathlon train`."""
    unknown = [name for name in only if name not in KNOWN]
    if unknown:
        raise click.UsageError(f"unknown row '{unknown[0]}'. Choose among {', '.join(KNOWN)}.")
    settings = {"data": str(data.resolve()), "trunk": trunk, "epochs": epochs, "seeds": seeds}
    _remember(out, settings | {"options": list(options)})
    about = settings | {"machine": machine(), "data": data.name}
    about["command"] = command_line("table")
    common = ["--data", str(data), "--seeds", str(seeds), *options]
    found: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        if only and row.name not in (TRUNK, FINETUNE, *_over(only)):
            continue
        over = str(_folder(out, row.over)) if row.over else trunk
        train = ["train", *common, *row.arguments(), "--trunk", over, "--epochs", str(row.passes * epochs)]
        try:
            _train(_folder(out, row.name), train)
        except DivergedError as error:
            if row.name in (TRUNK, FINETUNE):
                raise
            click.secho(f"Error: {error}", err=True)
            found[row.name] = _facts(row, train) | {"diverged": str(error)}
        else:
            _measured(row, out, data, truth, found, train)
        results.parent.mkdir(parents=True, exist_ok=True)
        write_json(results.with_name(results.name + ".json"), about | {"rows": list(found.values())})
        write_bytes(results.with_name(results.name + ".md"), markdown(about, list(found.values())).encode())


def _measured(
    row: Row, out: Path, data: Path, truth: Path, found: dict[str, dict[str, Any]], train: list[str]
) -> None:
    """Measure a trained row against the errors of `finetune`; that row gives the trunk before it its points too."""
    baseline = [] if row.name == TRUNK else ["--baseline", str(_folder(out, FINETUNE))]
    if row.name == FINETUNE:
        measure(row, _folder(out, FINETUNE), data, truth, [], train)
        found[TRUNK] = measure(KNOWN[TRUNK], _folder(out, TRUNK), data, truth, baseline, found[TRUNK]["command"])
    found[row.name] = measure(row, _folder(out, row.name), data, truth, baseline, train)


def _facts(row: Row, train: list[str]) -> dict[str, Any]:
    return {
        "name": row.name,
        "method": row.method,
        "settings": list(row.settings),
        "passes": passes(row, KNOWN),
        "command": train,
    }


def _remember(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings of the table; raises UsageError when the folder holds a table with different ones."""
    file = out / "table.json"
    before = read_json(file) if file.exists() else settings
    for name, value in settings.items():
        if before.get(name) != value:
            raise UsageError(
                f"{out} was started with {name} {before.get(name)}, not {value}. Choose another --out."
            )
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, settings)


def measure(
    row: Row, folder: Path, data: Path, truth: Path, baseline: list[str], train: list[str]
) -> dict[str, Any]:
    """Predict and score a trained group; return its row of the table."""
    _run(["predict", str(folder), "--data", str(data)])
    file = folder / "scores.json"
    file.unlink(missing_ok=True)  # the command never overwrites
    _run(["score", str(folder), "--truth", str(truth), *baseline, "-o", str(file)])
    scored = json.loads(file.read_text())
    group = find_group(folder)
    assert group is not None
    members = list(group.runs.values())
    footprint = count_run(Run(members[0]))[1].to_json()
    times = [row for run in members for row in read_lines(run / TIMING_FILE, TIMING)]
    seconds = sum(time["seconds"] for time in times)
    return _facts(row, train) | {
        "score": scored["score"],
        "accuracy": scored["mean_accuracy"],
        "domains": scored["domains"],
        "ratio": footprint["ratio"],
        "convention": footprint["convention"],
        "published": footprint["published"],
        "images_per_second": sum(time["images"] for time in times) / seconds,
        "minutes": seconds / 60 / len(members),
    }


def _folder(out: Path, name: str) -> Path:
    return out / name.replace(", ", "-").replace(" ", "-")


def _over(names: tuple[str, ...]) -> set[str]:
    """Return rows and the rows that they are built over."""
    return set(names) | {KNOWN[name].over for name in names}


def _train(folder: Path, train: list[str]) -> None:
    if find_group(folder) is None:
        _run([*train, "-o", str(folder)])
    else:
        _run(["train", "--resume", "-o", str(folder)])


def _run(arguments: list[str]) -> None:
    click.secho(f"\n$ decathlon {shlex.join(arguments)}", bold=True, err=True)
    decathlon.main(arguments, standalone_mode=False, prog_name="decathlon")


if __name__ == "__main__":
    try:
        command()
    except (DecathlonError, OSError) as error:
        sys.exit(f"Error: {error}")
