"""The jobs of a run, one after the other, a checkpoint an epoch, and the same bits after any interruption."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Benchmark
from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DivergedError, UsageError, VerificationError
from decathlon.inference.evaluate import evaluate
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.runs.checkpoints import Checkpoints, State
from decathlon.runs.run_directory import TIMING_FILE, Run
from decathlon.system.checksums import seal
from decathlon.system.files import sha256, write_json
from decathlon.system.progress import TrainingProgress
from decathlon.system.resources import memory_for
from decathlon.system.signals import held
from decathlon.system.tensor_files import write_tensors
from decathlon.training.trainer import Trainer

FREE = "or end other programs that hold memory"
CHECKPOINT_SECONDS = 300  # an epoch of a large domain is long: save inside it too


def train_domains(
    run: Run, asked: dict[str, Any], packed: PackedFile, model: MultiDomainModel, progress: TrainingProgress
) -> None:
    """Train a run's jobs, from its checkpoint where there is one, and write what they learned.

    See `divide` for what a job is.
    """
    recipe = Recipe().override(asked["recipe"])
    names = [entry["name"] for entry in asked["domains"]]
    jobs = domain_groups(names, model, recipe)
    checkpoints = Checkpoints(run, asked.get("begun"))
    found = checkpoints.read(progress.console.print)
    if found is None:
        _refuse_lost(run, len(jobs[0]))
    at, length = (found[1]["job"], found[1]["metrics"]) if found else (0, 0)
    finished: dict[str, str] = dict(found[1]["finished"]) if found else {}
    _check_finished(run, finished)
    run.cut_metrics(length)
    for number, names in enumerate(jobs):
        for name in names:
            model.add(name, len(packed.benchmark[name].categories))
        if number < at:
            continue
        members = _Members(number, tuple(names), found if number == at else None, checkpoints, finished)
        _train(run, asked, packed, members, model, recipe, progress)
        finished |= {name: sha256(run.domain(name)) for name in names}
    _check_finished(run, finished)
    write_json(run.folder / "footprint.json", model.footprint().to_json())
    run.write(asked | {"status": "done"})
    remove_state(run)


def _refuse_lost(run: Run, lines: int) -> None:
    """Refuse to begin anew what has more than the `lines` of metrics that stand before a first checkpoint."""
    if run.metrics.is_file() and run.metrics.read_bytes().count(b"\n") > lines:
        raise VerificationError(
            f"{run.folder} has lost its checkpoints: put back a copy, or remove {run.metrics} too and resume, "
            "which begins the run anew."
        )


def _check_finished(run: Run, finished: dict[str, str]) -> None:
    """Raise VerificationError where the file of a domain is not, by its SHA-256, the one a job ended with."""
    for name, digest in finished.items():
        file = run.domain(name)
        if not file.is_file() or sha256(file) != digest:
            raise VerificationError(
                f"{file} is damaged or missing, and its training is over: put back a copy, or train again."
            )


def remove_state(run: Run) -> None:
    """Remove what a run that is done needs no more; nothing happens where it is gone already."""
    Checkpoints(run, None).remove()
    run.start.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Members:
    """The domains of job `number`, and where it goes on, as `Trainer.state` told it."""

    number: int
    names: tuple[str, ...]
    state: State | None
    checkpoints: Checkpoints
    finished: dict[str, str]  # the SHA-256 of the files of domains that earlier jobs trained


def _train(
    run: Run, asked: dict[str, Any], packed: PackedFile, members: _Members, model: MultiDomainModel, recipe: Recipe,
    progress: TrainingProgress,
) -> None:  # fmt: skip
    """Train one job to its end; its pools are gone when this returns, before those of the next are loaded."""
    with memory_for("for the images", f"train fewer domains at a time, or all at a smaller --size; {FREE}"):
        trainer, held_out = _load(asked, packed, model, members.names, recipe)
    for name in [name for name, pool in trainer.pools.items() if pool.home != pool.device]:
        progress.console.print(f"Note: {name} stays in host memory, the GPU has no room for its pixels.")
    for cache in trainer.caches.values():
        progress.console.print(cache.told())
    if members.state:
        trainer.load_state(*members.state)
    what = members.names[0] if len(members.names) == 1 else f"{len(members.names)} domains"
    try:
        with progress.trainer(what, trainer.steps, trainer.step), _memory_for(trainer.recipe):
            _job(run, trainer, members, held_out, progress)
    except DivergedError:
        run.write(asked | {"status": "diverged"})
        raise
    _finish(run, asked, packed.benchmark, trainer)


def _memory_for(recipe: Recipe) -> AbstractContextManager[None]:
    smaller = f"--batch {recipe.batch // 2} or " if recipe.batch > 1 else ""
    return memory_for(f"with --batch {recipe.batch}", f"try {smaller}a smaller --size under another name; {FREE}")


def domain_groups(names: list[str], model: MultiDomainModel, recipe: Recipe) -> list[list[str]]:
    """Return the domains of each job: all of them where they share what trains, one where they do not.

    Raises UsageError where a domain has of its own what a job has once: its length and its learning rate.
    """
    together = model.method.regime == "joint" or any(True for _ in model.shared.parameters())
    if not together or len(names) == 1:
        return [[name] for name in names]
    for name in names:
        for knob in [knob for knob in ("epochs", "lr") if knob in recipe.domains.get(name, {})]:
            raise UsageError(
                f"{name} cannot have {knob} of its own where domains train together: set {knob} for all with "
                f"--{knob}, or train {name} in a run by itself."
            )
    return [names]


def _job(
    run: Run, trainer: Trainer, members: _Members, held_out: dict[str, ImagePool], progress: TrainingProgress
) -> None:
    """Train one job to its last step, with metrics and a checkpoint after every epoch.

    A signal to end is held until the step is done, after an epoch's last one until the validation is, and the state
    is saved: the metrics of an epoch are written once and belong to its checkpoint.
    """
    saved = began = time.monotonic()
    images = 0
    with held() as signalled:
        while trainer.step < trainer.steps:
            seen = trainer.advance()
            images += seen
            progress.step(seen)
            whole = trainer.step % trainer.epoch_steps == 0
            if whole:
                end_epoch(run, trainer, held_out, images, time.monotonic() - began, progress)
                began, images = time.monotonic(), 0
            if not (whole or signalled or time.monotonic() - saved >= CHECKPOINT_SECONDS):
                continue
            tensors, state = trainer.state()
            members.checkpoints.write(tensors, state | {"job": members.number, "finished": members.finished})
            saved = time.monotonic()
            if signalled:
                break


def _load(
    asked: dict[str, Any], packed: PackedFile, model: MultiDomainModel, members: tuple[str, ...], recipe: Recipe
) -> tuple[Trainer, dict[str, ImagePool]]:
    """Load the pools of a job's domains: those to train on, and the validation splits where they are held out."""
    splits = tuple(asked["fit"].split("+"))
    pools, held_out = {}, {}
    for name in members:
        facts, cut = recipe.facts(packed.benchmark[name]), (recipe.size, recipe.resize, model.device)
        pools[name] = load_pool(packed, facts, splits, *cut)
        if "val" not in splits and packed.count(name, "val"):
            pool = load_pool(packed, facts, ("val",), *cut)
            if bool((pool.labels >= 0).all()):
                held_out[name] = pool
    if len(members) == 1:  # nobody else is in the job: all of it is the domain's own
        recipe = recipe.for_domain(members[0])
    return Trainer(model, pools, recipe, asked["seed"], asked["bf16"]), held_out


def _finish(run: Run, asked: dict[str, Any], benchmark: Benchmark, trainer: Trainer) -> None:
    """Write what a finished job learned. Doing it twice writes the same files."""
    model = trainer.model
    if model.method.regime == "joint":
        model.average_norms()
    identity = "" if model.method.regime == "private" else model.fingerprint()
    if identity:
        about = {"name": model.trunk.name, "fingerprint": identity, "method": asked["method"]}
        write_tensors(run.trunk, model.shared_state(), about)
    for name in trainer.domains:
        about = {"domain": name, "method": asked["method"], "trunk": identity, "fit": asked["fit"]}
        run.write_domain(benchmark[name], model.stored(name), about)


def end_epoch(
    run: Run,
    trainer: Trainer,
    held_out: dict[str, ImagePool],
    images: int,
    seconds: float,
    progress: TrainingProgress,
) -> None:
    """Validate, and write the metrics of an epoch that took `seconds` for `images`."""
    rows = _rows(trainer, held_out)
    epoch = rows[0]["epoch"]
    run.append("metrics.jsonl", rows)
    timing = {"epoch": epoch, "images": images, "seconds": seconds, "domains": trainer.domains}
    run.append(TIMING_FILE, [seal(timing)])  # run.json, the same in every repetition, cannot list its checksum
    progress.epoch(epoch, trainer.recipe.epochs, sum(row["train_loss"] for row in rows) / len(rows))


def _rows(trainer: Trainer, held_out: dict[str, ImagePool]) -> list[dict[str, Any]]:
    epoch = trainer.step // trainer.epoch_steps
    validate = epoch % trainer.recipe.eval_every == 0 or epoch == trainer.recipe.epochs
    rows = []
    for name, (loss, correct, images) in zip(trainer.domains, trainer.metrics.sums.tolist(), strict=True):
        row = {
            "epoch": epoch,
            "step": trainer.step,
            "domain": name,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        row |= {"train_loss": loss / images, "train_accuracy": correct / images}
        if validate and name in held_out:
            result = evaluate(trainer.model.networks[name], held_out[name], trainer.bf16)
            row |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        rows.append(row)
    return rows
