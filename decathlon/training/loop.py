"""The training loop of a run: one trainer after the other, a checkpoint an epoch, the same bits after a resume."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from decathlon.config.recipe import Recipe
from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DivergedError, UsageError, VerificationError
from decathlon.inference.evaluate import evaluate
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.runs.checkpoints import Checkpoints, State
from decathlon.runs.record import RunRecord
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


@dataclass(frozen=True)
class Training:
    """A run that is being trained: folder and record, packed file, model, and where its progress is shown."""

    run: Run
    record: RunRecord
    packed: PackedFile
    model: MultiDomainModel
    progress: TrainingProgress

    def train(self) -> None:
        """Train every group of domains (see `domain_groups`), from the run's checkpoint where there is one."""
        groups = domain_groups(self.record.names, self.model, self.record.recipe)
        checkpoints = Checkpoints(self.run, self.record.begun)
        found = checkpoints.read(self.progress.console.print)
        if found is None:
            _refuse_lost(self.run, len(groups[0]))
        at, length = (found[1]["job"], found[1]["metrics"]) if found else (0, 0)
        finished: dict[str, str] = dict(found[1]["finished"]) if found else {}
        _check_finished(self.run, finished)
        self.run.cut_metrics(length)
        for number, names in enumerate(groups):
            for name in names:
                self.model.add(name, len(self.packed.benchmark[name].categories))
            if number < at:
                continue
            place = _Place(number, checkpoints, finished)
            self._train_group(names, found if number == at else None, place)
            finished |= {name: sha256(self.run.domain(name)) for name in names}
        _check_finished(self.run, finished)
        write_json(self.run.folder / "footprint.json", self.model.footprint().to_json())
        self.run.write(replace(self.record, status="done"))
        remove_state(self.run)

    def _train_group(self, names: tuple[str, ...], state: State | None, place: _Place) -> None:
        """Train one group to its end; its pools are released when this returns, before the next ones are loaded."""
        with memory_for("for the images", f"train fewer domains at a time, or all at a smaller --size; {FREE}"):
            trainer, held_out = self._load(names)
        for name in [name for name, pool in trainer.pools.items() if pool.home != pool.device]:
            self.progress.console.print(f"Note: {name} stays in host memory: its pixels do not fit on the GPU.")
        for cache in trainer.caches.values():
            self.progress.console.print(cache.describe())
        if told := trainer.weighting.describe():
            self.progress.console.print(told)
        if state:
            trainer.load_state(*state)
        what = names[0] if len(names) == 1 else f"{len(names)} domains"
        try:
            with self.progress.training(what, trainer.steps, trainer.step), _memory_for(trainer.recipe):
                self._advance(trainer, held_out, place)
        except DivergedError:
            self.run.write(replace(self.record, status="diverged"))
            raise
        _finish(self, trainer)

    def _load(self, names: tuple[str, ...]) -> tuple[Trainer, dict[str, ImagePool]]:
        """Load the pools of a group: the images to train on, and the validation splits where they are held out."""
        record, packed, recipe = self.record, self.packed, self.record.recipe
        pools, held_out = {}, {}
        for name in names:
            facts, own, device = recipe.facts(packed.benchmark[name]), recipe.for_domain(name), self.model.device
            pools[name] = load_pool(packed, facts, record.splits, own.size, own.resize, device)
            if "val" not in record.splits and packed.count(name, "val"):
                pool = load_pool(packed, facts, ("val",), own.eval_cut, own.resize, device)
                if bool((pool.labels >= 0).all()):
                    held_out[name] = pool
        if len(names) == 1:  # a domain that trains alone has the whole trainer to itself
            recipe = recipe.for_domain(names[0])
        return Trainer(self.model, pools, recipe, record.seed, record.bf16), held_out

    def _advance(self, trainer: Trainer, held_out: dict[str, ImagePool], place: _Place) -> None:
        """Take all steps of a trainer, with metrics and a checkpoint after every epoch.

        A signal to end is held back until the step is complete, and after the last step of an epoch until the
        validation is, and the state is saved: an epoch's metrics are written once and belong to its checkpoint.
        """
        saved = began = time.monotonic()
        images = 0
        with held() as signalled:
            while trainer.step < trainer.steps:
                seen = trainer.advance()
                images += seen
                self.progress.step(seen)
                whole = trainer.step % trainer.epoch_steps == 0
                if whole:
                    self._end_epoch(trainer, held_out, images, time.monotonic() - began)
                    began, images = time.monotonic(), 0
                if not (whole or signalled or time.monotonic() - saved >= CHECKPOINT_SECONDS):
                    continue
                place.save(trainer)
                saved = time.monotonic()
                if signalled:
                    break

    def _end_epoch(self, trainer: Trainer, held_out: dict[str, ImagePool], images: int, seconds: float) -> None:
        """Validate, and write the metrics of an epoch that took `seconds` for `images`."""
        with trainer.evaluated():
            rows = _metrics(trainer, held_out)
            trainer.weighting.validated(
                {row["domain"]: 1 - row["val_accuracy"] for row in rows if "val_accuracy" in row}
            )
            epoch = rows[0]["epoch"]
            if trainer.recipe.keep == "best":
                accuracies = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
                mean = sum(accuracies) / len(accuracies) if accuracies else -1.0
                best = trainer.best.offer(epoch, mean, trainer.weights())
                rows = [row | {"best": best} for row in rows]
        self.run.append(self.run.metrics.name, rows)
        timing = {"epoch": epoch, "images": images, "seconds": seconds, "domains": trainer.domains}
        self.run.append(TIMING_FILE, [seal(timing)])  # never twice the same: run.json cannot list its checksum
        self.progress.epoch(epoch, trainer.recipe.epochs, sum(row["train_loss"] for row in rows) / len(rows))


@dataclass(frozen=True)
class _Place:
    """Where in a run its training is: the number of the group, and the files of the groups before it."""

    group: int
    checkpoints: Checkpoints
    finished: dict[str, str]  # by domain, the SHA-256 of its file

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint."""
        tensors, state = trainer.state()
        self.checkpoints.write(tensors, state | {"job": self.group, "finished": self.finished})


def domain_groups(names: tuple[str, ...], model: MultiDomainModel, recipe: Recipe) -> list[tuple[str, ...]]:
    """Return the domains that train together: all of them where they share what trains, else one at a time.

    Raises UsageError where a domain has options of its own that a trainer has once: length and learning rate.
    """
    method = model.method
    together = method.regime == "joint" or method.coupled or any(True for _ in model.shared.parameters())
    if not together or len(names) == 1:
        return [(name,) for name in names]
    for name in names:
        for option in [option for option in ("epochs", "lr") if option in recipe.domains.get(name, {})]:
            raise UsageError(
                f"{name} cannot have its own {option} where domains train together. Set {option} for all with "
                f"--{option}, or train {name} in a run of its own."
            )
    return [names]


def remove_state(run: Run) -> None:
    """Remove the files that only an unfinished run needs, if they are there."""
    Checkpoints(run, "").remove()
    run.start.unlink(missing_ok=True)


def _memory_for(recipe: Recipe) -> AbstractContextManager[None]:
    smaller = f"--batch {recipe.batch // 2} or " if recipe.batch > 1 else ""
    return memory_for(f"with --batch {recipe.batch}", f"try {smaller}a smaller --size under another name; {FREE}")


def _refuse_lost(run: Run, lines: int) -> None:
    """Refuse to start over a run whose metrics have more than the `lines` written before a first checkpoint."""
    if run.metrics.is_file() and run.metrics.read_bytes().count(b"\n") > lines:
        raise VerificationError(
            f"{run.folder} has lost its checkpoints. Restore a copy, or remove {run.metrics} too and resume, which "
            "starts the run over."
        )


def _check_finished(run: Run, finished: dict[str, str]) -> None:
    """Raise VerificationError where a domain's file is not, by its SHA-256, the one its training ended with."""
    for name, digest in finished.items():
        file = run.domain(name)
        if not file.is_file() or sha256(file) != digest:
            raise VerificationError(
                f"{file} is damaged or missing, and it was already trained. Restore it from a backup, or "
                "train again."
            )


def _finish(training: Training, trainer: Trainer) -> None:
    """Write what a trainer that is done has learned. Doing it twice writes the same files."""
    model, run, record = training.model, training.run, training.record
    trainer.take_result()
    if model.method.regime == "joint":
        model.average_norms()
    fingerprint = "" if model.method.regime == "private" else model.fingerprint()
    if fingerprint:
        about = {"name": model.trunk.name, "fingerprint": fingerprint, "method": record.method}
        write_tensors(run.trunk, model.shared_state(), about)
    for name in trainer.domains:
        about = {"domain": name, "method": record.method, "trunk": fingerprint, "fit": record.fit}
        run.write_domain(training.packed.benchmark[name], model.stored(name), about)


def _metrics(trainer: Trainer, held_out: dict[str, ImagePool]) -> list[dict[str, Any]]:
    """Return the lines of metrics for the epoch that has just ended, one per domain."""
    epoch, lr = trainer.step // trainer.epoch_steps, trainer.optimizers[0].param_groups[0]["lr"]
    validate = epoch % trainer.recipe.eval_every == 0 or epoch == trainer.recipe.epochs
    rows = []
    cosines = trainer.affinity.cosines() if trainer.affinity else {}
    weights = trainer.weighting.weights()
    with torch.no_grad():
        penalty = trainer.penalty(trainer.domains)
    for domain, (name, sums) in enumerate(zip(trainer.domains, trainer.metrics.sums.tolist(), strict=True)):
        loss, weighted, correct, images = sums
        row = {"epoch": epoch, "step": trainer.step, "domain": name, "lr": lr}
        row |= {"train_loss": loss / images, "train_accuracy": correct / images}
        if trainer.recipe.weighting != "equal":
            row["weighted_loss"] = weighted / images
        if penalty is not None:
            row["penalty"] = float(penalty)
        if weights is not None:
            row["weight"] = float(weights[domain])
        if cosines:
            row["gradient_cosines"] = cosines[name]
        if validate and name in held_out:
            network = trainer.model.networks[name]
            row["val_loss"], row["val_accuracy"] = evaluate(network, held_out[name], trainer.bf16)
        rows.append(row)
    return rows
