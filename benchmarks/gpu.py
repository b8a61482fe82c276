r"""Training steps on a GPU, eager, compiled and as CUDA graphs, beside the floor that its own ceilings allow.

    \b
    python -m benchmarks.gpu -o benchmarks/results/2026-11-gpu     writes .json and .md
    python -m benchmarks.gpu --rehearse -o rehearsal               the same steps, tiny, on a CPU too

The three ways take turns; medians over the rounds. A case that does not fit into the device's memory is left empty.
The numbers of a rehearsal mean nothing.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import cases
from benchmarks.cases import Setting
from benchmarks.floor import Ceilings, Work, ceilings
from benchmarks.machine import command_line, machine
from benchmarks.timing import Case, measure
from decathlon.reports.tables import Column, Table, render
from decathlon.system.files import write_bytes, write_json
from decathlon.training.forward import compiled_forward, plain_forward

Make = Callable[..., Case]  # of a setting, a forward pass and whether it is replayed as CUDA graphs
WAYS = ("eager", "compiled", "graphs")
# Fused bytes are floors of 66k, 108k and 137k img/s at 4.3 TB/s, turned round. With parallel adapters in the centre
# tap the maps are those of ResNet-26 alone.
CASES: dict[str, tuple[Make, Work]] = {
    "mtan wrn-28-4, full": (
        partial(cases.training, "mtan", "wrn-28-4", regime="joint"), Work(7.53e9, 95.7e6, 65.2e6),
    ),
    "mtan wrn-28-4, frozen": (
        partial(cases.training, "mtan", "wrn-28-4", regime="frozen"), Work(3.57e9, 59.1e6, 39.8e6),
    ),
    "bn resnet26, full": (
        partial(cases.training, "bn", "resnet26", regime="joint"), Work(5.11e9, 46.3e6, 31.4e6),
    ),
    "parallel resnet26, frozen": (
        partial(cases.training, "parallel", "resnet26", regime="frozen"), Work(3.59e9, 46.3e6, 31.4e6),
    ),
}  # fmt: skip
WARM_UP = {"eager": 1, "compiled": 1, "graphs": 3}  # torch runs a graph plainly, then records it, then replays it
COLUMNS = (
    Column("case", "case"),
    Column("batch", "batch", 0),
    Column("eager", "eager img/s", 0),
    Column("eager_part", "% of floor", 0),
    Column("compiled", "compiled img/s", 0),
    Column("compiled_part", "% of fused floor", 0),
    Column("graphs", "CUDA graphs img/s", 0),
    Column("graphs_part", "% of fused floor", 0),
    Column("first", "first compiled step s", 0),
)


@dataclass(frozen=True)
class Plan:
    """How much to measure; a rehearsal is small and compiles nothing."""

    device: torch.device
    batches: tuple[int, ...] = (128, 512, 2048)
    size: int = 64
    rounds: int = 7
    seconds: float = 1.0
    backend: str = "inductor"
    side: int = 8192  # of the matrices whose product gives FLOP/s
    megabytes: int = 2048  # of the copy that gives bytes/s


@click.command(help=__doc__)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Name without .json and .md.")
@click.option("--rehearse", is_flag=True, help="Tiny sizes, on a CPU too.")
def command(out: Path, rehearse: bool) -> None:
    """Measure, and write JSON and Markdown."""
    if not (torch.cuda.is_available() or rehearse):
        raise click.UsageError("no GPU was found. Use --rehearse to try the benchmark on a CPU.")
    plan = Plan(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if rehearse:
        plan = Plan(plan.device, (2,), 16, rounds=1, seconds=0.001, backend="eager", side=64, megabytes=1)
    reached = ceilings(plan.device, plan.side, plan.megabytes, plan.seconds)
    about = {"machine": machine(), "rehearsal": rehearse, "size": plan.size, "rounds": plan.rounds}
    about |= {"command": command_line("gpu")}
    rows: list[dict[str, Any]] = []
    for name, batch in itertools.product(CASES, plan.batches):
        rows.append(row(name, batch, plan, reached))
        # after every row: what was measured is kept if the next one fails
        write_json(out.with_name(f"{out.name}.json"), about | {"ceilings": asdict(reached), "rows": rows})
        write_bytes(out.with_name(f"{out.name}.md"), markdown(about, reached, rows).encode())
    click.echo(markdown(about, reached, rows))
    click.echo(f"wrote {out}.json and {out}.md", err=True)


def row(name: str, batch: int, plan: Plan, reached: Ceilings) -> dict[str, Any]:
    """Return a case's images a second in every way, as parts in 0..1 of their floors too, and errors by way."""
    make, work = CASES[name]
    found: dict[str, Any] = {"case": name, "batch": batch}
    ways: dict[str, Case] = {}
    for way in WAYS:
        try:
            began = time.perf_counter()
            ways[way] = _made(make, way, Setting(plan.device, batch, plan.size, images=2 * batch), plan)
            if way == "compiled":
                found["first"] = time.perf_counter() - began
        except Exception as error:  # a way that does not fit, or compile, leaves the others
            found[f"{way}_error"] = str(error).splitlines()[0] if str(error) else type(error).__name__
    timed = measure(ways, plan.rounds, plan.seconds)
    ways.clear()
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    for way, timing in timed.items():
        found[way] = timing.per_second
        found[f"{way}_part"] = timing.per_second / work.floor(reached, plan.size, fused=way != "eager")
    return found


def _made(make: Make, way: str, setting: Setting, plan: Plan) -> Case:
    """Return a case in one of the ways, warmed up."""
    forward = plain_forward if way == "eager" else compiled_forward(plan.backend, way == "graphs")
    case = make(setting=setting, forward=forward, cuda_graphs=way == "graphs")
    for _ in range(WARM_UP[way]):
        case.run()
    return case


def markdown(about: dict[str, Any], reached: Ceilings, rows: list[dict[str, Any]]) -> str:
    """Return the results as a page: machine, command, ceilings, table."""
    described = ", ".join(f"{name} {value}" for name, value in about["machine"].items())
    percent = [{key: 100 * value if key.endswith("_part") else value for key, value in row.items()} for row in rows]
    table = Table("", COLUMNS, tuple(tuple(row.get(column.key) for column in COLUMNS) for row in percent))
    warning = "A rehearsal: the numbers mean nothing.\n\n" if about["rehearsal"] else ""
    return (
        f"# Training on a GPU\n\n{warning}Machine: {described}.\n\n```\n{about['command']}\n```\n\n"
        f"Reached in the same run: {reached.flop / 1e12:.4g} TFLOP/s (a large bf16 product), "
        f"{reached.bytes / 1e12:.4g} TB/s (a large copy). {about['size']} pixels, bf16 where the device has it.\n"
        f"{render([table], 'markdown')}"
    )


if __name__ == "__main__":
    command()
