"""The weights that a run keeps where these are not the last: those of its best epoch, or an average along training.

Averages often test better than the weights themselves. `ema`: an exponential moving average over the steps,
statistics of norms included. `tail`: the mean over the last epochs, after which the statistics are estimated
again, as in Stochastic Weight Averaging (Izmailov et al. 2018). torch's AveragedModel and timm's ModelEmaV3 copy
whole modules; here networks share tensors, which count once.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.system.device import autocast
from decathlon.training.batches import Batches
from decathlon.training.forward import mixed_logits

WARMUP = 10  # a young average forgets faster: its decay is at most (1 + steps) / (WARMUP + steps)
PASSES = 32  # batches per domain that statistics are estimated from


class BestEpoch:
    """A copy of the weights after the epoch of the highest accuracy so far, the first of equal ones.

    It is part of a checkpoint: a resumed run keeps the same epoch.
    """

    def __init__(self) -> None:
        self.epoch, self.accuracy = 0, -1.0
        self.weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, accuracy: float, weights: Mapping[str, Tensor]) -> bool:
        """Keep a copy of the weights if their accuracy is above that of every epoch before; say whether it was."""
        if accuracy <= self.accuracy:
            return False
        self.epoch, self.accuracy = epoch, accuracy
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return True

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the plain values to restore it from; nothing before the first epoch."""
        tensors = {f"best.{name}": tensor for name, tensor in self.weights.items()}
        return tensors, {"best": {"epoch": self.epoch, "accuracy": self.accuracy}} if tensors else {}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to where `state` was called."""
        if best := values.get("best"):
            self.epoch, self.accuracy = best["epoch"], best["accuracy"]
            kept = {name for name in tensors if name.startswith("best.")}
            self.weights = {name.removeprefix("best."): tensors[name] for name in kept}


class WeightAverage:
    """The average of some tensors, `live`, by their names in a checkpoint; what is no float is copied."""

    def __init__(self, live: Mapping[str, Tensor]) -> None:
        self._live = dict(live)
        self._mean = {name: tensor.detach().clone() for name, tensor in live.items()}
        self._floats = [name for name, tensor in live.items() if tensor.is_floating_point()]
        self.count = 0

    @torch.no_grad()
    def add(self, decay: float | None = None) -> None:
        """Add the tensors as they are now; without a `decay` all that were added count the same."""
        kept = (
            self.count / (self.count + 1) if decay is None else min(decay, (1 + self.count) / (WARMUP + self.count))
        )
        means, lives = ([each[name] for name in self._floats] for each in (self._mean, self._live))
        torch._foreach_lerp_(means, lives, 1 - kept)
        self.count += 1

    @torch.no_grad()
    def put(self) -> dict[str, Tensor]:
        """Put the average where the weights are; return what was there."""
        before = {name: tensor.clone() for name, tensor in self._live.items()}
        for name in self._floats:
            self._live[name].copy_(self._mean[name])
        return before

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average where the weights are, and the weights back after the block."""
        before = self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in before.items():
                    self._live[name].copy_(tensor)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the plain values to restore it from."""
        return {f"average.{name}": self._mean[name] for name in self._floats}, {"averaged": self.count}

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to where `state` was called."""
        for name in self._floats:
            self._mean[name].copy_(tensors[f"average.{name}"])
        self.count = int(values["averaged"])


def estimate_statistics(model: MultiDomainModel, batches: Batches, bf16: bool) -> None:
    """Estimate the statistics of the norms of all networks from the images they train on."""
    domains = tuple(batches.pools)
    for names in [domains] if model.method.mixed else [(name,) for name in domains]:
        longest = max(len(batches.pools[name]) for name in names)
        with estimating([model.networks[name] for name in names]):
            for number in range(min(PASSES, -(-longest // batches.recipe.batch))):
                _run(model, batches, bf16, names, number)


def _run(model: MultiDomainModel, batches: Batches, bf16: bool, names: tuple[str, ...], number: int) -> None:
    """Run the images of a numbered micro-batch of domains that go through the trunk together."""
    networks = [model.networks[name] for name in names]
    images = [batches.images(name, batches.sample(name, number), number) for name in names]
    with autocast(model.device, bf16), batches.dropout(names[0], number):
        if model.method.mixed:
            mixed_logits(networks, images)
        else:
            networks[0](images[0])


@contextlib.contextmanager
def estimating(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Take the running statistics of the networks' norms from the forward passes in the block; all count the same.

    Norms that stay in evaluation mode, as those of a frozen trunk do, keep theirs.
    """
    parts = {part for network in networks for part in network.train().modules()}
    norms = {part: part.momentum for part in parts if isinstance(part, _BatchNorm) and part.training}
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all passes
    with torch.no_grad():
        yield
    for norm, momentum in norms.items():
        norm.momentum = momentum
