r"""Speed of the toolkit's steps, in images a second and a processor second.

    \b
    python -m benchmarks.speed                                  the cases a CPU shows
    python -m benchmarks.speed --against mypackage.nets:make    the training step of any module in the same rounds

All cases take turns within one process; medians over the rounds. One thread, because timings of several threads
measure the other processes too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import cases
from benchmarks.cases import CLASSES, Setting
from benchmarks.machine import command_line, machine
from benchmarks.timing import Case, Timing, measure
from decathlon.errors import UsageError
from decathlon.reports.tables import Column, Table
from decathlon.reports.terminal import write
from decathlon.system.device import find_device
from decathlon.system.files import write_json

Made = Callable[[Setting], Case]
CASES: dict[str, Made] = {
    "mtan wrn-28-4, full": lambda s: cases.training("mtan", "wrn-28-4", s),
    "mtan wrn-28-4, frozen": lambda s: cases.training("mtan", "wrn-28-4", s, "frozen"),
    "parallel resnet26, frozen": lambda s: cases.training("parallel", "resnet26", s),
    "bn resnet26, full": lambda s: cases.training("bn", "resnet26", s),
    "bn wrn-16-1, full": lambda s: cases.training("bn", "wrn-16-1", s),
    "pool -> batch": cases.batches,
    "prepare: decode": cases.decoding,
    "predict bn": lambda s: cases.prediction("bn", "resnet26", s),
    "predict bn, merged": lambda s: cases.prediction("bn", "resnet26", s, merged=True),
    "predict parallel": lambda s: cases.prediction("parallel", "resnet26", s),
    "predict parallel, merged": lambda s: cases.prediction("parallel", "resnet26", s, merged=True),
    "predict series": lambda s: cases.prediction("series", "resnet26", s),
    "predict series, merged": lambda s: cases.prediction("series", "resnet26", s, merged=True),
    "predict dan": lambda s: cases.prediction("dan", "resnet26", s),
    "predict dan, merged": lambda s: cases.prediction("dan", "resnet26", s, merged=True),
    "predict piggyback": lambda s: cases.prediction("piggyback", "resnet26", s),
    "predict piggyback, merged": lambda s: cases.prediction("piggyback", "resnet26", s, merged=True),
    "ten domains, ten passes": lambda s: cases.ten("mtan", "wrn-28-4", s, together=False),
    "ten domains, one pass": lambda s: cases.ten("mtan", "wrn-28-4", s, together=True),
    "ten domains, one pass, merged": lambda s: cases.ten("mtan", "wrn-28-4", s, together=True, merged=True),
}


@click.command(help=__doc__)
@click.option(
    "--case",
    "names",
    multiple=True,
    help="A part of the names of the cases to time; 'against' for that one only. Default: all.",
)
@click.option(
    "--against",
    metavar="MODULE:FACTORY",
    help="FACTORY(classes) returns a module, images to logits, to train in fp32 too.",
)
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True)
@click.option("--size", type=click.IntRange(16), default=64, show_default=True, help="Pixels a side.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="Of a turn of one case.",
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print only JSON.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write the JSON here too.")
def command(
    names: tuple[str, ...], against: str | None, batch: int, size: int, rounds: int, seconds: float,
    threads: int, device: str, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Time the cases and print a table."""
    torch.set_num_threads(threads)
    setting = Setting(known_device(device), batch, size)
    made = {name: make for name, make in CASES.items() if not names or any(part in name for part in names)}
    if not made and not (against and all(part in "against" for part in names)):
        raise click.UsageError("no case has that in its name. Choose among\n  " + "\n  ".join(CASES))
    built = {name: make(setting) for name, make in made.items()}
    if against:
        built[f"against {against}"] = rival(against, setting)
    found = measure(built, rounds, seconds)
    about = {"machine": machine(), "bf16": setting.bf16, "threads": threads, "batch": batch, "size": size}
    about |= {"command": command_line("speed")}
    document = about | {"cases": {name: asdict(timing) for name, timing in found.items()}, "start": start_up()}
    if out:
        write_json(out, document)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(document, indent=1))
    else:
        write([table(found)], "table", [f"{name}: {value}" for name, value in flat(document)])


def rival(factory: str, setting: Setting) -> Case:
    """Return the training step of a user's module, tried once; raises click.ClickException if it fails."""
    try:
        case = cases.foreign(factory, setting)
        case.run()
    except Exception as error:  # whatever somebody's module does
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise click.ClickException(
            f"--against {factory} cannot be trained ({reason}). It must be MODULE:FACTORY, where "
            f"FACTORY({CLASSES}) returns a module from images (batch, 3, {setting.size}, {setting.size}) to logits "
            f"(batch, {CLASSES})."
        ) from None
    return case


def known_device(name: str) -> torch.device:
    """Return an available device; raises click.UsageError."""
    try:
        device = find_device(name)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    if device.type == "cuda":
        torch.cuda.set_device(device)  # the one that timing waits for and machine() names
    return device


def table(found: Mapping[str, Timing]) -> Table:
    """Return the timings as a table."""
    columns = (
        Column("case", "case"),
        Column("per_second", "img/s", 1),
        Column("per_cpu_second", "img/cpu-s", 1),
        Column("spread", "spread %", 0),
    )
    rows = tuple((name, t.per_second, t.per_cpu_second, 100 * t.spread) for name, t in found.items())
    return Table("Speed", columns, rows)


def start_up() -> float:
    """Return the processor seconds of `decathlon --help`, the median of five."""
    code = "from decathlon.cli.main import main; main()"
    times = []
    for _ in range(5):
        timed = (
            f"import os, sys; sys.argv = ['decathlon', '--help']\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        )
        timed += "t = os.times(); print(t.user + t.system, file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        times.append(float(done.stderr))
    return sorted(times)[2]


def flat(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the facts printed below the table."""
    settings = {name: value for name, value in document.items() if name not in ("cases", "machine", "start")}
    start = f"{document['start']:.2f} processor seconds"
    return [*document["machine"].items(), *settings.items(), ("decathlon --help", start)]


if __name__ == "__main__":
    command()
