"""successive: domains one after the other, held near what the one before left, with heads at earlier taps.

Hashimoto, Xiong, Tsuruoka, Socher 2017, "A joint many-task model: growing a neural network for multiple NLP
tasks" (https://arxiv.org/abs/1611.01587). While a domain trains, with the trunk's convolutions W and W' as they
were when its turn began:

    L_d + strength . || W - W' ||^2

Turns are those of `--sampling sequential`, where an epoch takes the domains in order. In the paper's ladder easy
tasks are read from lower layers (Søgaard and Goldberg 2016, https://aclanthology.org/P16-2038): `--set
exit=svhn:1,omniglot:2` gives svhn a head on tap 1, the end of the first stage, and omniglot one on tap 2, over
wide ResNets; what lies behind is not computed for them. Starts at the trunk exactly. Stored per domain: the
norms.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from decathlon.adapters.soft import PenaltyOptions
from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Method, Moment, Options, Regime, option
from decathlon.models.surgery import named_convs, replace, share
from decathlon.models.trunks.trunk import Trunk
from decathlon.models.trunks.wide_resnet import WideResNet


@dataclass(frozen=True)
class SuccessiveOptions(PenaltyOptions):
    """How near, and where heads are."""

    strength: float = option(0.01, "the factor of the penalty", may_differ=True)
    exit: str = option("", "domains with a head on tap 1 or 2, as svhn:1,omniglot:2")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.exits()

    def exits(self) -> dict[str, int]:
        """Return the tap by domain; raises UsageError where the text is not of that form."""
        parts = [part.rpartition(":") for part in filter(None, self.exit.split(","))]
        if not all(domain and tap in ("1", "2") for domain, _, tap in parts):
            raise UsageError(
                f"method 'successive': exit is '{self.exit}'. Name domains with tap 1 or 2, as svhn:1,omniglot:2."
            )
        return {domain: int(tap) for domain, _, tap in parts}


class Exit(nn.Module):
    """A trunk up to a tap, pooled."""

    def __init__(self, trunk: WideResNet, tap: int) -> None:
        super().__init__()
        for number in range(tap + 1, 4):
            setattr(trunk, f"stage{number}", nn.Identity())
        trunk.bn = nn.Identity()  # type: ignore[assignment]
        self.trunk, self.tap, self.features = trunk, tap, trunk.tap_channels[tap]

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to features (batch, features)."""
        return self.trunk.taps(images)[self.tap].mean((2, 3))


class Successive(Method):
    """Norms and heads over a trunk that learns from one domain after the other."""

    group = "sharing"
    regimes = ("joint",)
    sequential = True
    published = Convention(heads=True, norms="once", nine=False)
    options: SuccessiveOptions = SuccessiveOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        if self.options.exits() and not isinstance(trunk, WideResNet):
            raise UsageError("method 'successive': exit is for wide ResNets. Use a trunk like wrn-28-4.")
        self.before = nn.ParameterDict(
            {path.replace(".", "/"): conv.weight.detach().clone() for path, conv in named_convs(trunk)}
        ).requires_grad_(False)
        self.turn = torch.zeros((), dtype=torch.int64)  # a number for the domain that trains

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        tap = self.options.exits().get(domain)
        body = replace(share(trunk), norm=self.norm)
        return body if tap is None else Exit(cast(WideResNet, body), tap)

    @torch.no_grad()
    def begin(self, networks: Mapping[str, nn.Module], moment: Moment) -> None:
        """Take the weights as they are when the turn of other domains begins."""
        turn = zlib.crc32(",".join(networks).encode())
        if turn == int(self.turn):
            return
        self.turn.fill_(turn)
        for path, conv in named_convs(self.trunk):
            self.before[path.replace(".", "/")].copy_(conv.weight)

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor:
        """Return the squared distance of the trunk from what it was when the turn began."""
        pairs = ((conv.weight, self.before[path.replace(".", "/")]) for path, conv in named_convs(self.trunk))
        moved = [(weight - before.to(weight.device)).square().sum() for weight, before in pairs]
        return self.options.strength * torch.stack(moved).sum()

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights that the turn began with, and whose turn it is."""
        return {"turn": self.turn, **self.before.state_dict()}
