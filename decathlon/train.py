"""Training a run: what a user asks, written down, and then done to the end or taken up again."""

from __future__ import annotations

import contextlib
import difflib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import timm
import torch

from decathlon import __version__
from decathlon.device import find_device, use_bf16
from decathlon.domains import Domain
from decathlon.errors import BusyError, DataError, UsageError
from decathlon.family import Family
from decathlon.files import refuse_existing
from decathlon.jobs import divide, train_jobs
from decathlon.method import Method, Regime, find_method
from decathlon.packed import PackedFile
from decathlon.progress import TrainingProgress
from decathlon.randomness import seeded
from decathlon.recipe import Recipe
from decathlon.run import Run
from decathlon.start import read_start, write_start
from decathlon.trunk_source import TrunkSource, find_trunk

Fit = Literal["train", "train+val"]


@dataclass(frozen=True)
class Request:
    """What a user asks of a training run; `domains` empty means all, `regime` None the method's default."""

    data: Path
    out: Path
    method: str
    trunk: str
    recipe: Recipe
    domains: tuple[str, ...] = ()
    regime: Regime | None = None
    fit: Fit = "train"
    seed: int = 0
    device: str | None = None


def train(request: Request, progress: TrainingProgress) -> Run:
    """Train a new run in the folder `request.out`; raises UsageError when that exists."""
    device, kind = find_device(request.device), find_method(request.method)
    run = Run(request.out)
    if not run.blank():
        refuse_existing(request.out, "choose another name, or go on with --resume")
    with PackedFile(request.data) as packed:
        domains = [packed.benchmark[name] for name in dict.fromkeys(request.domains or packed.benchmark.names)]
        _check_splits(packed, domains, request.fit)
        source = find_trunk(request.trunk, request.seed)
        with seeded(request.seed, "shared"):
            method = kind(source.trunk, request.regime)
        for remark in _remarks(source, method, request.recipe, packed.benchmark.names):
            progress.console.print(f"Note: {remark}")
        norms = {domain.name: source.norms[domain.name] for domain in domains if domain.name in source.norms}
        family = Family(method, request.seed, device, norms)
        divide([domain.name for domain in domains], family, request.recipe)  # refused before anything is written
        run.folder.mkdir(parents=True, exist_ok=True)
        with _lock(run):
            asked = _asked(request, packed, domains, family, source)
            write_start(run, family)
            run.write(asked)
            train_jobs(run, asked, packed, family, progress)
    return run


def resume(folder: Path, data: Path | None, progress: TrainingProgress) -> Run:
    """Go on with an interrupted run to the very end it would have had; nothing happens when it is finished."""
    run = Run(folder)
    with _lock(run):
        asked = run.read()
        if asked["status"] == "done":
            return run
        torch.set_num_threads(asked["threads"])  # another number of threads sums in another order
        with PackedFile(data or Path(asked["data"]["path"])) as packed:
            if packed.digest != asked["data"]["digest"]:
                raise DataError(
                    f"{packed.path} holds other data than {folder} was begun with: name that file with --data."
                )
            family = read_start(run, asked, find_device(asked["device"]))
            train_jobs(run, asked, packed, family, progress)
    return run


def _asked(
    request: Request, packed: PackedFile, domains: list[Domain], family: Family, source: TrunkSource
) -> dict[str, Any]:
    return {
        "format": 1,
        "status": "running",
        "method": request.method,
        "regime": family.method.regime,
        "trunk": {"name": family.trunk.name, "source": source.source},
        "recipe": request.recipe.to_json(),
        "fit": request.fit,
        "seed": request.seed,
        "own_norms": sorted(family.norms),
        "domains": [{"name": domain.name, "categories": domain.category_ids} for domain in domains],
        "benchmark": packed.benchmark.name,
        "data": {"path": str(request.data.resolve()), "digest": packed.digest},
        "device": str(family.device),
        "bf16": use_bf16(request.recipe.precision, family.device),
        "threads": torch.get_num_threads(),
        "versions": {
            "decathlon": __version__,
            "torch": torch.__version__,
            "timm": timm.__version__,
            "python": platform.python_version(),
        },
    }


def _remarks(source: TrunkSource, method: Method, recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return what may surprise a user who meant something else."""
    remarks = []
    if method.regime == "frozen" and not source.source and "." not in source.trunk.name:
        remarks.append("the trunk has random weights and stays frozen; name a trained run with --trunk RUN.")
    if source.size not in (None, recipe.size):
        remarks.append(f"the trunk was trained at {source.size} pixels, this run sees {recipe.size} (see --size).")
    return remarks + _misspelled(recipe, names)


def _misspelled(recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return remarks on tables of a recipe that nearly name a domain of the file.

    Other names are let pass: a preset may know more domains than the file has.
    """
    free = [name for name in names if name not in recipe.domains]
    near = {
        table: difflib.get_close_matches(table.lower(), free, n=1, cutoff=0.75)
        for table in recipe.domains
        if table not in names
    }
    return [
        f"the recipe speaks of {table}, which is not in the file; did you mean {found[0]}?"
        for table, found in near.items()
        if found
    ]


def _check_splits(packed: PackedFile, domains: list[Domain], fit: Fit) -> None:
    for domain in domains:
        for split in fit.split("+"):
            if not packed.count(domain.name, split):
                raise UsageError(f"{packed.path} has no {split} images of {domain.name}: leave the domain out.")


@contextlib.contextmanager
def _lock(run: Run) -> Iterator[None]:
    if not run.folder.is_dir():
        raise DataError(f"{run.folder} does not exist: begin it without --resume.")
    lock = filelock.FileLock(run.folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BusyError(f"{run.folder} is being trained by another process: wait for it or stop it.") from None
    with lock:
        lock.release()  # the block holds it now
        yield
