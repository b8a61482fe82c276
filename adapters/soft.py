"""soft: every domain has a whole network, and a penalty pulls them towards a common centre.

Duong, Cohn, Bird, Cook 2015, "Low resource dependency parsing: cross-lingual parameter sharing in a neural
network parser" (https://aclanthology.org/P15-2139), soft parameter sharing as in Ruder 2017
(https://arxiv.org/abs/1706.05098), section 4. Over all convolution weights:

    L + strength . sum over d of || W_d - C ||^2

The centre C is the `mean` of the domains' weights, weights of its own that are `learned` with them, or the
`trunk` as it was, which is the L2-SP of Li, Grandvalet, Davoine 2018 (https://arxiv.org/abs/1802.01483). A step
moves the domains that are active in it, towards a centre of all. Starts at the trunk exactly. Stored per domain:
a whole trunk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Method, Options, Regime, option
from decathlon.models.surgery import named_convs, own
from decathlon.models.trunks.trunk import Trunk


@dataclass(frozen=True)
class PenaltyOptions(Options):
    """How strong the penalty is."""

    strength: float = option(1e-3, "the factor of the penalty", may_differ=True)

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1e6:
            raise UsageError(f"strength is {self.strength}, it must be a number from 0 to 1e6.")


@dataclass(frozen=True)
class SoftOptions(PenaltyOptions):
    """The centre."""

    centre: Literal["mean", "learned", "trunk"] = option("mean", "what the domains are pulled towards")


def private_weights(networks: Mapping[str, nn.Module]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield for every convolution its path in the trunk and its weights by domain."""
    first, *_ = networks.values()
    for path, _ in named_convs(first.get_submodule("body")):
        yield path, {name: network.get_parameter(f"body.{path}.weight") for name, network in networks.items()}


class Soft(Method):
    """A copy of the trunk, all of it trainable, near the other domains' copies."""

    group = "sharing"
    regimes = ("private",)
    coupled = True
    published = Convention(heads=False, norms="in", nine=False)
    options: SoftOptions = SoftOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        if self.options.centre == "learned":
            self.shared["centre"] = own(trunk)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return a trainable copy: (batch, 3, height, width) -> (batch, features)."""
        return own(trunk)

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor:
        """Return the squared distances of the active domains from the centre."""
        total = torch.zeros((), device=next(self.trunk.parameters()).device)
        for path, weights in private_weights(networks):
            centre = self._centre(path, weights)
            total = total + torch.stack([(weights[name] - centre).square().sum() for name in active]).sum()
        return self.options.strength * total

    def _centre(self, path: str, weights: Mapping[str, Tensor]) -> Tensor:
        if self.options.centre == "mean":
            # constant: in the gradient of the sum over all domains, what moves with the mean cancels
            return torch.stack([weight.detach() for weight in weights.values()]).mean(0)
        centre = self.shared["centre"] if self.options.centre == "learned" else self.trunk
        return centre.get_parameter(f"{path}.weight")
