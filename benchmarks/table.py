"""The fair table: every method on one packed file, under one recipe, over one trunk.

    python -m benchmarks.table --data mini.h5 --truth annotations --out runs/table --results benchmarks/results/name

Each row is trained, predicted and scored by the toolkit's own commands, with --workers several side by side, and
--out has a log of each. Stopped and started again, it continues: finished runs are kept, others resume. The
results, NAME.json and NAME.md, are written after every row. Points are counted against the errors of the `finetune`
row, which therefore has 250 per domain.
"""

from __future__ import annotations

import json
import shlex
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks import children
from benchmarks.machine import command_line, machine
from benchmarks.report import markdown
from benchmarks.rows import FINETUNE, KNOWN, TABLES, TRUNK, Row, epochs, seen
from decathlon.cli.main import command as decathlon
from decathlon.errors import DecathlonError, DivergedError, UsageError
from decathlon.inference.affinity import affinities
from decathlon.inference.branching import choose_tree, stage_sizes, to_text
from decathlon.reports.footprint_report import count_run
from decathlon.runs.logs import TIMING, read_lines
from decathlon.runs.run_directory import TIMING_FILE, Run
from decathlon.runs.seed_group import find_group
from decathlon.system.files import read_json, write_bytes, write_json


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Packed file.")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), required=True, help="Test annotations.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--results", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.option("--trunk", default="wrn-16-1", show_default=True, help="A trunk's name.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--rows", "kind", type=click.Choice(list(TABLES)), default="methods", show_default=True, help="Which rows."
)
@click.option("--only", multiple=True, metavar="ROW", help="Rows to train, in addition to the trunk and finetune.")
@click.option("--epochs", "first", type=click.IntRange(1), default=60, show_default=True, help="Of the trunk.")
@click.option("--second", type=click.IntRange(1), help="Epochs of each row over it. [default: as many]")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Rows side by side.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    data: Path, truth: Path, out: Path, results: Path, trunk: str, seeds: int, kind: str, only: tuple[str, ...],
    first: int, second: int | None, workers: int, options: tuple[str, ...],
) -> None:  # fmt: skip
    """Train the rows; OPTIONS after -- go to every `decathlon train`."""
    unknown = [name for name in only if name not in KNOWN]
    if unknown:
        raise click.UsageError(f"unknown row '{unknown[0]}'. Choose among {', '.join(KNOWN)}.")
    settings = {"data": str(data.resolve()), "trunk": trunk, "epochs": [first, second or first], "seeds": seeds}
    _remember(out, settings | {"options": list(options)})
    about = settings | {"machine": machine(), "data": data.name, "command": command_line("table")}
    common = ["--data", str(data), "--seeds", str(seeds), *options]
    chosen = {TRUNK, FINETUNE, *_over(only)} if only else {row.name for row in TABLES[kind]}
    rows = [row for row in KNOWN.values() if row.name in chosen]
    table = FairTable(out, data, truth, trunk, (first, second or first), common)
    with ThreadPoolExecutor(workers) as pool:
        trained = table.start(pool, rows)
        try:
            for row in rows:
                table.add(row, trained[row.name])
                found = list(table.found.values())
                results.parent.mkdir(parents=True, exist_ok=True)
                write_json(results.with_name(results.name + ".json"), about | {"rows": found})
                write_bytes(results.with_name(results.name + ".md"), markdown(about, found).encode())
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class FairTable:
    """The rows in a folder: `found` are those measured so far, by name.

    `phases` are the epochs of a trunk and of a row over it; `common` the options of every run.
    """

    out: Path
    data: Path
    truth: Path
    trunk: str
    phases: tuple[int, int]
    common: list[str]
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    trees: dict[str, str] = field(default_factory=dict)

    def start(self, pool: Executor, rows: list[Row]) -> dict[str, Future[float]]:
        """Train rows side by side, each after the row that it is built over."""
        trained: dict[str, Future[float]] = {}

        def run(row: Row) -> float:
            if row.over:
                trained[row.over].result()
            if self.why_diverged(row):
                return 0.0
            click.secho(f"training {row.name}", err=True)
            return children.train(self.folder(row.name), self.options(row), self.log(row.name))

        # those that wait for none go first, so that no worker waits for long
        for row in sorted(rows, key=lambda row: (bool(row.over), rows.index(row))):
            trained[row.name] = pool.submit(run, row)
        return trained

    def folder(self, name: str) -> Path:
        """Return the folder of a row's runs."""
        return self.out / name.replace(", ", "-").replace(" ", "-")

    def log(self, name: str) -> Path:
        """Return the log of a row's training."""
        return self.folder(name).with_suffix(".log")

    def why_diverged(self, row: Row) -> str | None:
        """Return what a row that diverged said, or the one that it is built over."""
        names = [row.over, row.name] if row.over else [row.name]
        said = (children.why_diverged(self.folder(name), self.log(name)) for name in names)
        return next(filter(None, said), None)

    def options(self, row: Row) -> list[str]:
        """Return the options of `decathlon train` for a row."""
        over = str(self.folder(row.over)) if row.over else self.trunk
        arguments = [self.tree(row, each) if each.startswith("tree=@") else each for each in row.arguments()]
        return [*self.common, *arguments, "--trunk", over, "--epochs", str(epochs(row, *self.phases))]

    def tree(self, row: Row, setting: str) -> str:
        """Return the setting of a tree with the tree that is chosen for its budget."""
        if setting not in self.trees:
            group = find_group(self.folder(row.over))
            assert group is not None
            tables, trunk, stages = affinities(next(iter(group.runs.values())), "rsa", self.data, 20)
            tree, _ = choose_tree(tables, stage_sizes(trunk, stages), float(setting.partition("@")[2]))
            self.trees[setting] = f"tree={to_text(tree)}"
        return self.trees[setting]

    def add(self, row: Row, trained: Future[float]) -> None:
        """Wait for a row and measure it, or note that it diverged.

        Rows are measured against the errors of `finetune`, which gives the trunk before it its points too.
        """
        trained.result()
        why = self.why_diverged(row)
        if why and row.name in (TRUNK, FINETUNE):
            raise DivergedError(why)
        if why:
            click.secho(f"{row.name} diverged: {why}", err=True)
            self.found[row.name] = self.facts(row) | {"diverged": why}
            return
        baseline = [] if row.name == TRUNK else ["--baseline", str(self.folder(FINETUNE))]
        if row.name == FINETUNE:
            self.measure(row, [])
            self.found[TRUNK] = self.measure(KNOWN[TRUNK], baseline)
        self.found[row.name] = self.measure(row, baseline)

    def facts(self, row: Row) -> dict[str, Any]:
        """Return what is known of a row before it is trained."""
        return {
            "name": row.name,
            "method": row.method,
            "settings": list(row.settings),
            "epochs": seen(row, KNOWN, *self.phases),
            "command": ["train", *self.options(row)],
        }

    def measure(self, row: Row, baseline: list[str]) -> dict[str, Any]:
        """Predict and score a trained group; return its row of the table."""
        folder = self.folder(row.name)
        _run(["predict", str(folder), "--data", str(self.data)])
        file = folder / "scores.json"
        file.unlink(missing_ok=True)  # the command never overwrites
        _run(["score", str(folder), "--truth", str(self.truth), *baseline, "-o", str(file)])
        scored = json.loads(file.read_text())
        group = find_group(folder)
        assert group is not None
        members = list(group.runs.values())
        footprint = count_run(Run(members[0]))[1].to_json()
        times = [row for run in members for row in read_lines(run / TIMING_FILE, TIMING)]
        seconds = sum(time["seconds"] for time in times)
        return self.facts(row) | {
            "score": scored["score"],
            "accuracy": scored["mean_accuracy"],
            "domains": scored["domains"],
            "ratio": footprint["ratio"],
            "convention": footprint["convention"],
            "published": footprint["published"],
            "images_per_second": sum(time["images"] for time in times) / seconds,
            "minutes": seconds / 60 / len(members),
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


def _over(names: tuple[str, ...]) -> set[str]:
    """Return rows and the rows that they are built over."""
    return set(names) | {KNOWN[name].over for name in names}


def _run(arguments: list[str]) -> None:
    click.secho(f"\n$ decathlon {shlex.join(arguments)}", bold=True, err=True)
    decathlon.main(arguments, standalone_mode=False, prog_name="decathlon")


if __name__ == "__main__":
    try:
        command()
    except (DecathlonError, OSError) as error:
        sys.exit(f"Error: {error}")
