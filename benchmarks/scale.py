r"""Cost as work grows: time of a training step with domains and images, memory with the pool.

    \b
    python -m benchmarks.scale -o benchmarks/results/NAME     writes NAME.json and NAME.png

Each point is measured in its own process, so that peak memory is its own; pools are random pixels.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.cases import CLASSES, Setting, domain, model
from benchmarks.machine import machine
from benchmarks.timing import Case, measure
from decathlon.config.recipe import Recipe
from decathlon.data.image_pool import ImagePool
from decathlon.system.files import write_json
from decathlon.training.trainer import Trainer

SIDE, SIZE, BATCH = 36, 32, 64
DOMAINS = (1, 2, 5, 10)
IMAGES = (1_000, 10_000, 30_000, 100_000)


@click.command(help=__doc__)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--point", nargs=2, type=int, hidden=True, help="Measure this many domains and images, print JSON.")
@click.option("--small", is_flag=True, help="A rehearsal with tiny pools.")
def command(out: Path, rounds: int, point: tuple[int, int] | None, small: bool) -> None:
    """Measure all points, or the one that a child process was started for."""
    if point:
        click.echo(json.dumps(measured(*point, rounds)))
        return
    images = (100, 200) if small else IMAGES
    points = [(count, images[0]) for count in DOMAINS] + [(1, count) for count in images[1:]]
    found = [_child(domains, count, rounds, out) for domains, count in points]
    write_json(out.with_name(out.name + ".json"), {"machine": machine(), "points": found})
    draw(found, out.with_name(out.name + ".png"))


def measured(domains: int, images: int, rounds: int) -> dict[str, Any]:
    """Return the processor milliseconds per image of a training step, and memory in MB."""
    torch.set_num_threads(1)
    setting = Setting(torch.device("cpu"), BATCH, SIZE)
    made = model("bn", "wrn-10-1", setting, "joint", domains)
    pools = {f"domain{number}": _pool(number, images) for number in range(1, domains + 1)}
    recipe = Recipe(epochs=10**4, batch=BATCH, size=SIZE, schedule="constant", warmup=0.0)
    trainer = Trainer(made, pools, recipe, 0, bf16=False)
    timing = measure({"step": Case(BATCH, trainer.advance)}, rounds)["step"]
    return {
        "domains": domains,
        "images": images,
        "cpu_ms_per_image": 1000 / timing.per_cpu_second,
        "pool_mb": sum(pool.pixels.numel() for pool in pools.values()) / 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def _pool(number: int, images: int) -> ImagePool:
    rng = np.random.default_rng(number)
    pixels = (rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(images))
    labels = torch.from_numpy(rng.integers(0, CLASSES, images))
    return ImagePool(domain(number), pixels, labels, list(range(images)), SIZE)


def _child(domains: int, images: int, rounds: int, out: Path) -> dict[str, Any]:
    arguments = [sys.executable, "-m", "benchmarks.scale", "-o", str(out), "--rounds", str(rounds)]
    arguments += ["--point", str(domains), str(images)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    click.echo(found, err=True)
    return found


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Draw time over domains, time over images, and memory over the pool's size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    few = [point for point in points if point["images"] == points[0]["images"]]
    one = [point for point in points if point["domains"] == 1]
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for axis, chosen, key in ((axes[0], few, "domains"), (axes[1], one, "images")):
        times = [point["cpu_ms_per_image"] for point in chosen]
        axis.plot([point[key] for point in chosen], times, "o-")
        axis.set(xlabel=key, ylabel="processor ms an image", ylim=(0, 1.2 * max(times)))
    axes[1].set_xscale("log")
    peaks = [point["peak_mb"] for point in points]
    axes[2].plot([point["pool_mb"] for point in points], peaks, "o")
    axes[2].set(xlabel="pool, MB", ylabel="peak memory, MB", ylim=(0, 1.2 * max(peaks)))
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    command()
