r"""Kernels against their references, eager and compiled, on a GPU; a kernel is worth wiring in where it beats both.

    \b
    python -m benchmarks.kernels -o kernels.json       time all
    python -m benchmarks.kernels --case mask           some
    python -m benchmarks.kernels --rehearse            without a GPU: tiny sizes, equality only

Every kernel is first compared with its reference; those that differ are marked, and the command then ends with 1.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.kernel_cases import Comparison, Setting, comparisons
from benchmarks.machine import command_line, machine
from decathlon.reports.tables import Column, Table
from decathlon.reports.terminal import write
from decathlon.system.files import write_json

Clock = Callable[[Callable[[], object]], float]
NEAR = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of the largest value
WAYS = ("eager", "compiled", "kernel")
NUMBERS = tuple(Column(way, f"{way} µs", 1) for way in WAYS) + (Column("gain", "x compiled", 2),)
COLUMNS = (Column("kernel_name", "kernel"), Column("sizes", "sizes"), *NUMBERS, Column("equal", "equal"))


@click.command(help=__doc__)
@click.option("--case", "part", default="", help="A part of the names of the kernels to time; default: all.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--seconds", type=float, default=0.1, show_default=True, help="Of a turn of one way.")
@click.option("--rehearse", is_flag=True, help="Tiny sizes in Triton's interpreter, untimed.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write JSON here.")
def command(part: str, rounds: int, seconds: float, rehearse: bool, out: Path | None) -> None:
    """Compare, time, print a table."""
    if rehearse and not os.environ.get("TRITON_INTERPRET"):
        # read when Triton is loaded, which imports above may have done
        again = [sys.executable, "-m", "benchmarks.kernels", *sys.argv[1:]]
        sys.exit(subprocess.run(again, env=os.environ | {"TRITON_INTERPRET": "1"}).returncode)
    if not rehearse and not torch.cuda.is_available():
        raise click.UsageError("no GPU was found. Use --rehearse to check values without timing.")
    # bf16 only on the GPU: the interpreter multiplies its bits as whole numbers
    tiny = Setting(torch.device("cpu"), torch.float32, (3,), 8, ((4, 5, 4), (8, 4, 16)))
    setting = tiny if rehearse else Setting(torch.device("cuda"))
    rows = []
    for comparison in comparisons(setting):
        if part in comparison.kernel:
            rows.append(row(comparison, NEAR[setting.dtype]))
            if not rehearse and "difference" in rows[-1]:
                rows[-1] |= times(comparison, rounds, seconds)
    if not rows:
        raise click.UsageError(f"no kernel has '{part}' in its name. Leave out --case to see all.")
    report(rows, out)


def row(comparison: Comparison, near: float) -> dict[str, Any]:
    """Return a kernel's row before it is timed: name, sizes, and whether it equals its reference."""
    named = {"kernel_name": comparison.kernel, "sizes": comparison.sizes, "images": comparison.images}
    try:
        difference = comparison.difference()
    except Exception as error:  # one that does not launch must not stop the others
        return named | {"equal": f"no: {type(error).__name__}", "error": str(error)}
    if not math.isfinite(difference):  # JSON has no such number
        return named | {"equal": f"no: {difference}"}
    return named | {"difference": difference, "equal": "yes" if difference <= near else f"no: {difference:.1e}"}


def times(comparison: Comparison, rounds: int, seconds: float, clock: Clock | None = None) -> dict[str, Any]:
    """Return microseconds a call in three ways, and how much faster the kernel is than the compiled reference."""
    torch.compiler.reset()  # else shapes of another comparison make this one's dynamic
    ways = {"eager": comparison.reference, "compiled": torch.compile(comparison.reference)}
    failed: dict[str, Any] = {}
    try:
        comparison.call(ways["compiled"])
    except Exception as error:  # where it does not compile, two ways are left
        failed["error"] = str(error)
        del ways["compiled"]
    ways["kernel"] = comparison.fused
    found = in_turn({name: partial(comparison.call, way) for name, way in ways.items()}, rounds, seconds, clock)
    micro = {name: 1e3 * statistics.median(taken) for name, taken in found.items()}
    gain = micro["compiled"] / micro["kernel"] if "compiled" in micro else None
    return failed | micro | {"gain": gain, "milliseconds": found}


def in_turn(
    calls: Mapping[str, Callable[[], object]], rounds: int, seconds: float, clock: Clock | None = None
) -> dict[str, list[float]]:
    """Return the milliseconds a call that each takes, measured in turn, `rounds` times.

    By Triton's benchmark: the device's own events, with its cache emptied between calls, so that neither Python nor
    a warm cache is measured.
    """
    if clock is None:
        from triton.testing import do_bench

        clock = partial(do_bench, rep=round(1000 * seconds), return_mode="median")
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(clock(call))
    return found


def report(rows: list[dict[str, Any]], out: Path | None) -> None:
    """Print the table and write JSON; raises ClickException when a kernel differs from its reference."""
    about = machine() | {"command": command_line("kernels")}
    cells = tuple(tuple(row.get(column.key) for column in COLUMNS) for row in rows)
    write([Table("Kernels", COLUMNS, cells)], "table", [f"{name}: {value}" for name, value in about.items()])
    if out:
        write_json(out, {"machine": about, "kernels": rows})
    wrong = [f"{row['kernel_name']} {row['sizes']}" for row in rows if row["equal"] != "yes"]
    if wrong:
        raise click.ClickException(f"not equal to the reference: {', '.join(wrong)}.")


if __name__ == "__main__":
    command()
