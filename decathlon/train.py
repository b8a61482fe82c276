"""Training a run: jobs one after the other, a checkpoint an epoch, and the same bits after any interruption."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import timm
import torch

from decathlon import __version__
from decathlon.device import find_device, use_bf16
from decathlon.domains import Benchmark, Domain
from decathlon.errors import BusyError, DataError, DivergedError, UsageError
from decathlon.evaluate import evaluate
from decathlon.family import Family
from decathlon.files import refuse_existing, write_json
from decathlon.job import Job
from decathlon.method import Regime, find_method
from decathlon.packed import PackedFile
from decathlon.pool import Pool, load_pool
from decathlon.progress import TrainingProgress
from decathlon.randomness import seeded
from decathlon.recipe import Recipe
from decathlon.run import Run
from decathlon.start import read_start, write_start
from decathlon.storage import read_tensors, write_tensors
from decathlon.trunk_source import TrunkSource, find_trunk

CHECKPOINT_SECONDS = 300  # an epoch of a large domain is long: save inside it too
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
    refuse_existing(request.out, "choose another name, or go on with --resume")
    with PackedFile(request.data) as packed:
        domains = [packed.benchmark[name] for name in request.domains or packed.benchmark.names]
        _check_splits(packed, domains, request.fit)
        source = find_trunk(request.trunk, request.seed)
        with seeded(request.seed, "shared"):
            method = kind(source.trunk, request.regime)
        family = Family(
            method, request.seed, device, {d.name: source.norms[d.name] for d in domains if d.name in source.norms}
        )
        run = Run(request.out)
        run.folder.mkdir(parents=True)
        with _lock(run):
            asked = _asked(request, packed, domains, family, source)
            write_start(run, family)
            run.write(asked)
            _jobs(run, asked, packed, family, progress)
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
            _jobs(run, asked, packed, family, progress)
    return run


def _jobs(run: Run, asked: dict[str, Any], packed: PackedFile, family: Family, progress: TrainingProgress) -> None:
    recipe = Recipe().override(asked["recipe"])
    names = [entry["name"] for entry in asked["domains"]]
    together = family.method.regime == "joint" or any(True for _ in family.shared.parameters())
    jobs = [names] if together else [[name] for name in names]
    tensors, values = read_tensors(run.checkpoint) if run.checkpoint.exists() else ({}, {"job": 0, "metrics": 0})
    run.cut_metrics(values["metrics"])
    for number, members in enumerate(jobs):
        for name in members:
            family.add(name, len(packed.benchmark[name].categories))
        if number < values["job"]:
            continue
        job, held_out = _load(asked, packed, family, members, recipe)
        if tensors and number == values["job"]:
            job.load_state(tensors, values)
        try:
            _job(run, job, number, held_out, progress)
        except DivergedError:
            run.write(asked | {"status": "diverged"})
            raise
        _finish(run, asked, packed.benchmark, job)
    write_json(run.folder / "footprint.json", family.footprint().to_json())
    run.write(asked | {"status": "done"})
    for path in (run.checkpoint, run.start):
        path.unlink(missing_ok=True)


def _job(run: Run, job: Job, number: int, held_out: dict[str, Pool], progress: TrainingProgress) -> None:
    """Train one job to its last step, with metrics and a checkpoint after every epoch."""
    progress.start(job.domains[0] if len(job.domains) == 1 else f"{len(job.domains)} domains", job.steps, job.step)
    saved = began = time.monotonic()
    images = 0
    while job.step < job.steps:
        seen = job.advance()
        images += seen
        progress.step(seen)
        if job.step % job.epoch_steps == 0:
            trained = time.monotonic() - began
            rows = _epoch_rows(job, held_out)
            run.append("metrics.jsonl", rows)
            timing = {"epoch": rows[0]["epoch"], "images": images, "seconds": trained, "domains": job.domains}
            run.append("timing.jsonl", [timing])
            progress.epoch(rows[0]["epoch"], job.recipe.epochs, sum(row["train_loss"] for row in rows) / len(rows))
            began, images = time.monotonic(), 0
        elif time.monotonic() - saved < CHECKPOINT_SECONDS:
            continue
        tensors, state = job.state()
        write_tensors(run.checkpoint, tensors, state | {"job": number, "metrics": run.metrics.stat().st_size})
        saved = time.monotonic()
    progress.stop()


def _epoch_rows(job: Job, held_out: dict[str, Pool]) -> list[dict[str, Any]]:
    epoch = job.step // job.epoch_steps
    validate = epoch % job.recipe.eval_every == 0 or epoch == job.recipe.epochs
    rows = []
    for name, (loss, correct, images) in zip(job.domains, job.tally.tolist(), strict=True):
        row = {"epoch": epoch, "step": job.step, "domain": name, "lr": job.optimizer.param_groups[0]["lr"]}
        row |= {"train_loss": loss / images, "train_accuracy": correct / images}
        if validate and name in held_out:
            result = evaluate(job.family.networks[name], held_out[name], job.bf16)
            row |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        rows.append(row)
    return rows


def _load(
    asked: dict[str, Any], packed: PackedFile, family: Family, members: list[str], recipe: Recipe
) -> tuple[Job, dict[str, Pool]]:
    """Load the pools of a job's domains: those to train on, and the validation splits where they are held out."""
    splits = tuple(asked["fit"].split("+"))
    pools, held_out = {}, {}
    for name in members:
        cut = recipe.size, recipe.resize, recipe.crop_override, family.device
        pools[name] = load_pool(packed, packed.benchmark[name], splits, *cut)
        if "val" not in splits and packed.count(name, "val"):
            pool = load_pool(packed, packed.benchmark[name], ("val",), *cut)
            if bool((pool.labels >= 0).all()):
                held_out[name] = pool
    return Job(family, pools, recipe, asked["seed"], asked["bf16"]), held_out


def _finish(run: Run, asked: dict[str, Any], benchmark: Benchmark, job: Job) -> None:
    """Write what a finished job learned. Doing it twice writes the same files."""
    family = job.family
    if family.method.regime == "joint":
        family.average_norms()
    identity = "" if family.method.regime == "private" else family.fingerprint()
    if identity:
        tensors = {f"trunk.{name}": tensor for name, tensor in family.trunk.state_dict().items()}
        tensors |= {f"shared.{name}": tensor for name, tensor in family.shared.state_dict().items()}
        write_tensors(
            run.trunk, tensors, {"name": family.trunk.name, "fingerprint": identity, "method": asked["method"]}
        )
    for name in job.domains:
        about = {"domain": name, "method": asked["method"], "trunk": identity, "fit": asked["fit"]}
        run.write_domain(benchmark[name], family.delta(name), about)


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
