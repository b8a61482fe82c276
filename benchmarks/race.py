r"""Time to accuracy: the processor seconds of training until the mean test accuracy reaches a goal.

    \b
    python -m benchmarks.race --data mini.h5 --out runs/race --results results/name --seeds 5 \
        common fast plain:muon plain:sgd

Contenders are recipes (names or TOML files), and the plain loop of `benchmarks.plain_loop` with an optimizer. All
train the same network, `bn` over one trunk, from the same seeds, each in a process of its own. After every epoch
the clock stops and the test images are predicted. A record is a file in --out: the accuracy after every epoch and
the seconds until then. Records that are there are kept, so a race that was stopped continues.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import click
import torch

from benchmarks.machine import command_line, machine
from benchmarks.plain_loop import PlainLoop
from decathlon.config.recipe import Recipe
from decathlon.config.recipe_files import find_recipe
from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DecathlonError
from decathlon.inference.evaluate import evaluate
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.reports.tables import Column, Table, render
from decathlon.system.device import use_bf16
from decathlon.system.files import write_bytes, write_json
from decathlon.system.seeding import seeded
from decathlon.training.trainer import Trainer

GOALS = (0.55, 0.60, 0.65, 0.70)
CPU = torch.device("cpu")
Point = dict[str, float]


@click.command(help=__doc__)
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), required=True, help="Packed file with labels."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the records.")
@click.option("--results", type=click.Path(path_type=Path), help="Results, without an ending.")
@click.option("--trunk", default="wrn-16-1", show_default=True)
@click.option("--epochs", type=click.IntRange(1), help="Of every contender. [default: those of its recipe]")
@click.option("--size", type=click.IntRange(8), default=32, show_default=True, help="Side of the images in pixels.")
@click.option("--split", default="test", show_default=True, help="The labelled split to predict: test or val.")
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Records side by side.")
@click.option("--record", type=int, hidden=True, help="Make the record of this seed, for one contender.")
@click.argument("contenders", nargs=-1, required=True)
def command(
    data: Path, out: Path, results: Path | None, trunk: str, epochs: int | None, size: int,
    split: str, seeds: int, workers: int, record: int | None, contenders: tuple[str, ...],
) -> None:  # fmt: skip
    """Make the records that are missing, and the table of all."""
    if record is not None:
        change = {"size": size, "crop": "squash"} | ({"epochs": epochs} if epochs else {})
        points = ran(contenders[0], data, trunk, change, record, split)
        write_json(_file(out, contenders[0], record), {"machine": machine(), "points": points})
        return
    out.mkdir(parents=True, exist_ok=True)
    same = ["--data", str(data), "--out", str(out), "--trunk", trunk, "--size", str(size), "--split", split]
    same += ["--epochs", str(epochs)] if epochs else []
    missing = [(name, seed) for seed in range(seeds) for name in contenders if not _file(out, name, seed).exists()]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda each: _child(same, *each), missing))
    found = {
        name: [json.loads(_file(out, name, seed).read_text())["points"] for seed in range(seeds)]
        for name in contenders
    }
    click.echo(table(found))
    if results:
        text = f"Machine: {machine()}.\n\n```\n{command_line('race')}\n```\n\n{table(found, 'markdown').lstrip()}\n"
        write_bytes(results.with_name(f"{results.name}.md"), text.encode())
        write_json(results.with_name(f"{results.name}.json"), {"machine": machine(), "records": found})


def ran(contender: str, data: Path, trunk: str, change: dict[str, Any], seed: int, split: str) -> list[Point]:
    """Train one contender on one thread; return seconds and accuracy after every epoch."""
    torch.set_num_threads(1)
    plain = contender.removeprefix("plain:") if contender.startswith("plain:") else None
    recipe = (Recipe() if plain else find_recipe(contender)).override(change, "the command line")
    with seeded(seed, "trunk"):
        method = find_method("bn")(build(trunk), "joint")
    model = MultiDomainModel(method, seed, CPU)
    pools, held = {}, {}
    with PackedFile(data) as packed:
        for domain in packed.benchmark:
            facts = recipe.facts(domain)
            pools[domain.name] = load_pool(packed, facts, ("train",), recipe.size, recipe.resize)
            held[domain.name] = load_pool(packed, facts, (split,), recipe.eval_cut, recipe.resize)
            model.add(domain.name, len(domain.categories))
    bf16 = use_bf16(recipe.precision, CPU)
    if plain:
        loop = PlainLoop(plain, model, pools, recipe.epochs, seed, bf16)
        return clocked(loop.epochs, loop.epoch, lambda: accuracy(model, held, bf16))
    trainer = Trainer(model, pools, recipe, seed, bf16)

    def epoch() -> None:
        for _ in range(trainer.epoch_steps):
            trainer.advance()

    def measure() -> float:
        with trainer.evaluated():
            return accuracy(model, held, bf16)

    return clocked(recipe.epochs, epoch, measure)


def clocked(epochs: int, epoch: Callable[[], None], measure: Callable[[], float]) -> list[Point]:
    """Return processor seconds of all epochs so far, and what is measured after each, the clock stopped."""
    points, seconds = [], 0.0
    for number in range(1, epochs + 1):
        began = time.process_time()
        epoch()
        seconds += time.process_time() - began
        points.append({"epoch": number, "seconds": seconds, "accuracy": measure()})
        click.echo(json.dumps(points[-1]), err=True)
    return points


def accuracy(model: MultiDomainModel, held: dict[str, ImagePool], bf16: bool) -> float:
    """Return the mean over the domains of the accuracy on held-out images."""
    found = [evaluate(model.networks[name], pool, bf16)[1] for name, pool in held.items()]
    return sum(found) / len(found)


def table(found: dict[str, list[list[Point]]], form: Literal["table", "markdown"] = "table") -> str:
    """Return the median seconds to each goal, over the seeds that reached it if most did, and the last accuracy."""
    columns = [Column("name", "contender"), *(Column(f"to{goal}", f"s to {100 * goal:.0f} %", 0) for goal in GOALS)]
    columns += [Column("seconds", "s in all", 0), Column("last", "last, %", 2), Column("seeds", "seeds", 0)]
    rows = []
    for name, records in found.items():
        reached = [[seconds_to(points, goal) for points in records] for goal in GOALS]
        medians = [_median(times) for times in reached]
        ends = [points[-1] for points in records]
        seconds, last = (statistics.median(end[key] for end in ends) for key in ("seconds", "accuracy"))
        rows.append((name, *medians, seconds, 100 * last, float(len(records))))
    return render([Table("", tuple(columns), tuple(rows))], form)


def seconds_to(points: list[Point], goal: float) -> float | None:
    """Return the processor seconds until an accuracy was first reached; None where it never was."""
    return next((point["seconds"] for point in points if point["accuracy"] >= goal), None)


def _median(times: list[float | None]) -> float | None:
    reached = sorted(time for time in times if time is not None)
    return reached[len(times) // 2] if len(reached) > len(times) // 2 else None


def _file(out: Path, contender: str, seed: int) -> Path:
    name = contender.removesuffix(".toml").replace("/", "-").replace(":", "-")
    return out / f"{name}-{seed}.json"


def _child(same: list[str], contender: str, seed: int) -> None:
    log = _file(Path(same[same.index("--out") + 1]), contender, seed).with_suffix(".log")
    command = [sys.executable, "-m", "benchmarks.race", *same, "--record", str(seed), contender]
    with log.open("ab") as out:
        subprocess.run(command, stdout=out, stderr=out, check=True)


if __name__ == "__main__":
    try:
        command()
    except (DecathlonError, OSError) as error:
        sys.exit(f"Error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"Error: a record failed; see the logs ({error}).")
