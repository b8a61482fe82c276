"""The contract of an auxiliary objective, and the ones of a run.

An auxiliary objective adds a loss to a domain's micro-batch, with modules of its own. Nothing of it is used in
prediction, so it is never stored with a run and never billed.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

from torch import Tensor, nn

from decathlon.config.recipe import Recipe
from decathlon.errors import UsageError
from decathlon.models.multi_domain_model import DomainNetwork, trunk_in
from decathlon.models.trunks.trunk import Trunk
from decathlon.system.plugins import Plugins
from decathlon.system.seeding import seeded
from decathlon.training.objective import MicroBatch
from decathlon.training.weighting import Setting


class Auxiliary(nn.Module):
    """Base of all auxiliary objectives. One file in `training/auxiliaries/` holds one.

    `taught` says that it needs a teacher. Its parameters train as heads do. Every domain's network has a trunk
    inside that is like `trunk`.
    """

    taught: ClassVar[bool] = False

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        super().__init__()
        self.setting, self.channels = setting, trunk.tap_channels
        self.domains = tuple(domain.name for domain in setting.domains)

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the loss of a micro-batch, a scalar, None where the objective makes no sense for the domain."""
        raise NotImplementedError


AUXILIARIES: Plugins[Auxiliary] = Plugins("auxiliary objective", "decathlon.training.auxiliaries", Auxiliary)


def read_auxiliaries(recipe: Recipe) -> dict[str, float]:
    """Return the weights of a recipe's auxiliary objectives by name; raises UsageError for a text that has none."""
    found: dict[str, float] = {}
    for part in filter(None, recipe.auxiliaries.split(",")):
        name, equals, text = part.strip().partition("=")
        if AUXILIARIES.find(name).taught and not recipe.teacher:
            raise UsageError(f"auxiliary objective '{name}' needs a teacher. Name a finished run with --teacher.")
        try:
            weight = float(text) if equals else 1.0
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= 1e6:
            raise UsageError(f"auxiliary objective '{name}' has the weight '{text}'. Use a number from 0 to 1e6.")
        if name in found:
            raise UsageError(f"auxiliary objective '{name}' is named twice. Name it once.")
        found[name] = weight
    return found


class Auxiliaries:
    """The auxiliary objectives of a run, each with its weight."""

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        self.weights = read_auxiliaries(setting.recipe)
        self.modules = nn.ModuleDict()
        for name in self.weights:
            with seeded(setting.seed, "auxiliary", name):
                self.modules[name] = AUXILIARIES.find(name)(setting, trunk).to(setting.device)

    @contextlib.contextmanager
    def reading(self, network: DomainNetwork) -> Iterator[list[tuple[Tensor, ...]]]:
        """Collect the taps of the trunk inside a network, whenever they are computed in the block."""
        found: list[tuple[Tensor, ...]] = []
        trunk = trunk_in(network) if self.weights else None
        if trunk is None:
            yield found
            return
        compute = trunk.taps

        def taps(images: Tensor) -> tuple[Tensor, ...]:
            found.append(compute(images))
            return found[-1]

        trunk.taps = taps  # type: ignore[method-assign]
        try:
            yield found
        finally:
            del trunk.taps  # the class's own again

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the weighted sum of the losses that apply to a micro-batch, None where none does."""
        total: Tensor | None = None
        for name, weight in self.weights.items():
            module = self.modules[name]
            assert isinstance(module, Auxiliary)
            loss = module.loss(batch)
            if loss is not None:
                total = weight * loss if total is None else total + weight * loss
        return total

    def state(self) -> Mapping[str, Tensor]:
        """Return the tensors to restore the objectives from."""
        return self.modules.state_dict()


def pooled(tap: Tensor) -> Tensor:
    """Return a tap (batch, channels, height, width) as features (batch, channels)."""
    return tap.float().mean((2, 3))
