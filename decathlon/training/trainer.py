"""A trainer: domains trained together, one optimizer step after the other, resumable at every step."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from decathlon.config.recipe import Recipe
from decathlon.data.domain_sampling import epoch_plan
from decathlon.data.image_pool import ImagePool
from decathlon.data.sampling_policy import shares
from decathlon.errors import DataError, DivergedError, VerificationError
from decathlon.models.method import Moment
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.system.device import asynchronous, autocast
from decathlon.training.auxiliary import Auxiliaries
from decathlon.training.batches import Batches
from decathlon.training.epoch_metrics import EpochMetrics
from decathlon.training.feature_cache import TapCache
from decathlon.training.forward import Forward, Gradients, compiled_forward, mixed_logits, plain_forward
from decathlon.training.gradient_affinity import GradientAffinity
from decathlon.training.kept_weights import BestEpoch, WeightAverage, estimate_statistics
from decathlon.training.objective import OBJECTIVES, MicroBatch
from decathlon.training.optimizer import (
    load_optimizers,
    make_head_optimizer,
    make_optimizers,
    make_schedule,
    optimizer_state,
)
from decathlon.training.weighting import WEIGHTINGS, Setting, Step


class Trainer:
    """Trains the networks of some domains; `step` is the only counter, everything else follows from it.

    Each optimizer step runs forward and backward for every active domain's micro-batch, or once for all of them
    where they share a trunk's norms (`Method.mixed`), then updates once.
    Inactive domains keep `grad = None`, so neither momentum nor decay moves them. On a GPU few steps wait for
    the device: `EpochMetrics` says what becomes of a loss that is not finite.
    """

    def __init__(
        self, model: MultiDomainModel, pools: dict[str, ImagePool], recipe: Recipe, seed: int, bf16: bool
    ) -> None:
        self.model, self.pools, self.recipe, self.seed, self.bf16 = model, pools, recipe, seed, bf16
        self.domains = tuple(pools)
        for name, pool in pools.items():
            _check_labels(name, pool)
        sizes = [len(pool) for pool in pools.values()]
        batches = recipe.epoch_batches * (len(sizes) if recipe.together else 1)
        self._shares = shares(sizes, recipe.sampling, recipe.batch, batches or None)
        self.epoch_steps = len(self._plan(0))
        self.steps = recipe.epochs * self.epoch_steps
        networks = {name: model.networks[name] for name in self.domains}
        self.optimizers = make_optimizers(model.method, model.shared, networks, recipe, bf16)
        self.objective = OBJECTIVES.find(recipe.objective)(recipe)
        shared = tuple(p for p in chain(model.trunk.parameters(), model.shared.parameters()) if p.requires_grad)
        facts = tuple(pool.domain for pool in pools.values())
        self.weighting = WEIGHTINGS.find(recipe.weighting)(Setting(facts, shared, recipe, seed, model.device))
        self.affinity = GradientAffinity(self.domains, shared) if recipe.affinity else None
        self.auxiliaries = Auxiliaries(Setting(facts, shared, recipe, seed, model.device), model.trunk)
        if learned := list(self.auxiliaries.modules.parameters()):
            self.optimizers.append(make_head_optimizer(learned, recipe))
        self.schedules = [make_schedule(optimizer, recipe, self.steps) for optimizer in self.optimizers]
        self.forward: Forward = plain_forward
        if recipe.compile:
            self.forward = compiled_forward(cuda_graphs=recipe.cuda_graphs)
        self.gradients = Gradients() if recipe.cuda_graphs else None
        self.step = 0
        self.metrics = EpochMetrics(self.domains, asynchronous(model.device))
        self.best = BestEpoch()
        self.average = WeightAverage(self.weights()) if recipe.average != "none" else None
        self._taken = [0] * len(self.domains)  # micro-batches of this epoch so far
        self.batches = Batches(pools, recipe, seed, networks.values())
        limit = 1e9 * recipe.cache_taps / len(pools)
        self.caches = {name: TapCache(networks[name], pools[name], bf16, limit) for name in pools if limit}

    @property
    def epoch(self) -> int:
        """The epoch the next step belongs to, from 0."""
        return self.step // self.epoch_steps

    def advance(self) -> int:
        """Take one optimizer step; return how many images it saw.

        Raises DivergedError before a bad update or, where reading the losses is deferred, by the end of the epoch.
        """
        position = self.step % self.epoch_steps
        if position == 0:
            self.metrics.clear()
            self._taken = [0] * len(self.domains)
        plan = self._plan(self.epoch)
        # timm counts from 1: the first step already moves, the last one ends the schedule
        for schedule in self.schedules:
            schedule.step_update(self.step + 1)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        if self.gradients:
            self.gradients.ready(self.model.networks[self.domains[domain]] for domain in plan[position])
        active = {self.domains[domain]: self.model.networks[self.domains[domain]] for domain in plan[position]}
        self.model.method.begin(active, Moment(self.step, self.steps, self.seed))
        if self.affinity:
            self.affinity.begin(position == 0)
        self.weighting.begin(Step(self.step, self.epoch, tuple(active)))
        if self.model.method.mixed:
            self._mixed_batch(plan[position])
        else:
            for domain in plan[position]:
                self._micro_batch(domain)
        self.weighting.finish()
        penalty = self.penalty(tuple(active))
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.method.end(active, self.optimizers[0].param_groups[0]["lr"])
        self.step += 1
        whole = self.step % self.epoch_steps == 0
        if self.average and self.recipe.average == "ema":
            self.average.add(self.recipe.ema_decay)
        elif self.average and whole and self.epoch > self.recipe.average_from * self.recipe.epochs:
            self.average.add()
        if whole:
            self.metrics.settle()
        return self.recipe.batch * len(plan[position])

    def penalty(self, active: tuple[str, ...]) -> Tensor | None:
        """Return the method's own term of the loss, if it has one."""
        return self.model.method.penalty({name: self.model.networks[name] for name in self.domains}, active)

    def _micro_batch(self, domain: int) -> None:
        """Run forward and backward for the next images of one domain."""
        name, number = self.domains[domain], self._next(domain)
        network, index = self.model.networks[name], self.batches.sample(name, number)
        network.train()
        labels = self.pools[name].labels_of(index)
        if name in self.caches:
            logits = self.caches[name].logits(index)
        else:
            images, labels = self.batches.training(name, index, number, labels, self.epoch)
            with (
                autocast(self.model.device, self.bf16),
                self.batches.dropout(name, number),
                self.auxiliaries.reading(network) as taps,
            ):
                logits = self.forward(network, images)
        batch = MicroBatch(name, network, index, logits.float(), labels)
        loss = self._loss(domain, batch)
        if self.auxiliaries.weights:
            batch = replace(batch, images=images, taps=taps[0], number=number, progress=self.step / self.steps)
            with autocast(self.model.device, self.bf16):
                beside = self.auxiliaries.loss(batch)
            loss = loss if beside is None else loss + beside
        loss.backward()  # type: ignore[no-untyped-call]
        if self.affinity:
            self.affinity.collect(name)
        self.weighting.collect(name)
        if self.affinity and self.weighting.takes_out:
            self.affinity.forget()

    def _mixed_batch(self, domains: tuple[int, ...]) -> None:
        """Run forward and backward once, for the next images of several domains together."""
        names = [self.domains[domain] for domain in domains]
        numbers = [self._next(domain) for domain in domains]
        indices = [self.batches.sample(name, number) for name, number in zip(names, numbers, strict=True)]
        networks = [self.model.networks[name].train() for name in names]
        labels = [self.pools[name].labels_of(index) for name, index in zip(names, indices, strict=True)]
        each = zip(names, indices, numbers, labels, strict=True)
        pairs = [self.batches.training(*one, self.epoch) for one in each]
        with autocast(self.model.device, self.bf16), self.batches.dropout("all", self.step):
            logits = mixed_logits(networks, [images for images, _ in pairs])
        labels = [soft for _, soft in pairs]
        parts = zip(names, networks, indices, [part.float() for part in logits], labels, strict=True)
        losses = [self._loss(domain, MicroBatch(*part)) for domain, part in zip(domains, parts, strict=True)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    def _next(self, domain: int) -> int:
        """Return the number of a domain's next micro-batch, counted from the start of training."""
        self._taken[domain] += 1
        return self.epoch * self._batches(domain) + self._taken[domain] - 1

    def _loss(self, domain: int, batch: MicroBatch) -> Tensor:
        """Return the weighted loss of a domain's images, and add them to the metrics."""
        loss, labels = self.objective.loss(batch), batch.labels
        weighted = self.weighting.weigh(batch.domain, loss)
        shown = labels if labels.ndim == 1 else labels.argmax(1)  # of mixed images, what there is most of
        correct = (batch.logits.argmax(1) == shown).sum()
        self.metrics.add(domain, self.step, loss, weighted, correct, len(batch.index))
        return weighted

    def _plan(self, epoch: int) -> list[tuple[int, ...]]:
        return epoch_plan(self._shares, self.recipe.sampling, self.recipe.together, self.seed, epoch)

    def _batches(self, domain: int) -> int:
        return self.epoch_steps if self.recipe.together else self._shares[domain]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all tensors that training changes, and the plain values beside them.

        Raises DivergedError where a loss or a weight is not finite: what is returned may be written.
        """
        self.metrics.settle()
        self._check_weights()
        tensors = {"tally": self.metrics.sums}  # the key of the file format
        tensors |= {f"weighting.{name}": tensor for name, tensor in self.weighting.state().items()}
        tensors |= {f"method.{name}": tensor for name, tensor in self.model.method.state().items()}
        tensors |= {f"auxiliary.{name}": tensor for name, tensor in self.auxiliaries.state().items()}
        if self.affinity:
            tensors |= {f"affinity.{name}": tensor for name, tensor in self.affinity.state().items()}
        tensors |= self.weights()
        best, kept = self.best.state()
        tensors |= best
        if self.average:
            averages, counted = self.average.state()
            tensors, kept = tensors | averages, kept | counted
        slots, values = optimizer_state(self.optimizers)
        return tensors | slots, {"step": self.step, **values, **kept}

    def weights(self) -> dict[str, Tensor]:
        """Return all tensors of the model that training changes."""
        weights: dict[str, Tensor] = {}
        if self.model.method.regime == "joint":
            weights |= {f"trunk.{name}": tensor for name, tensor in self.model.trunk.state_dict().items()}
        weights |= {f"shared.{name}": tensor for name, tensor in self.model.shared.state_dict().items()}
        for domain in self.domains:
            weights |= {f"domain.{domain}.{name}": tensor for name, tensor in self.model.delta(domain).items()}
        return weights

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[None]:
        """Have the weights in the model that validation and prediction see: their average, where there is one."""
        if self.average is None or not self.average.count:
            yield
            return
        with self.average.in_place():
            self._estimate()
            yield

    @torch.no_grad()
    def take_result(self) -> None:
        """Put the result of training into the model: the best epoch, where one was kept, or the average."""
        own = self.weights()
        for name, tensor in self.best.weights.items():
            own[name].copy_(tensor)
        if self.average and self.average.count and not self.best.weights:
            self.average.put()
            self._estimate()

    def _estimate(self) -> None:
        """Estimate the statistics of norms for averaged weights; a moving average has averaged them, too."""
        if self.recipe.average != "ema":
            estimate_statistics(self.model, self.batches, self.bf16)

    def _check_weights(self) -> None:
        """Raise DivergedError for weights that are not finite: a gradient may overflow where the loss does not."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        sound = [weight.isfinite().all() for group in groups for weight in group["params"]]
        sound += [tensor.isfinite().all().to(sound[0].device) for tensor in self.weighting.state().values()]
        if not bool(torch.stack(sound).all()):  # one wait for the device
            raise DivergedError(
                f"weights became NaN or infinite by step {self.step}. Try a smaller --lr, or --precision fp32."
            )

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to where `state` was called."""
        self.step = int(values["step"])
        behind = self._plan(self.epoch)[: self.step % self.epoch_steps]
        self._taken = [sum(domain in active for active in behind) for domain in range(len(self.domains))]
        own, _ = self.state()
        weighting = {
            name.removeprefix("weighting."): tensor
            for name, tensor in tensors.items()
            if name.startswith("weighting.")
        }
        for name, value in tensors.items():
            if not name.startswith(("best.", "average.", "optimizer.", "weighting.")):
                own[name].copy_(value)
        if weighting.keys() != self.weighting.state().keys():
            raise VerificationError(
                f"the checkpoint does not hold the state of weighting '{self.recipe.weighting}'. Restore a copy."
            )
        self.weighting.load_state(weighting)
        self.best.load_state(tensors, values)
        if self.average:
            self.average.load_state(tensors, values)
        load_optimizers(self.optimizers, tensors, values)


def _check_labels(name: str, pool: ImagePool) -> None:
    if bool((pool.labels < 0).any()):
        raise DataError(f"{name} has unlabelled images among those to train on. Choose labelled splits.")
