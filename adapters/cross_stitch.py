"""cross-stitch: a domain's weights are a learned mixture of a few columns of weights.

Misra, Shrivastava, Gupta, Hebert 2016, "Cross-stitch networks for multi-task learning"
(https://arxiv.org/abs/1604.03539), stitched in the weights. At every convolution, with columns c = 0..C-1 that all
domains share, column 0 the trunk:

    W_d = sum over c of a_dc W_c          a_d: C numbers of the domain at this convolution

The paper stitches activations: every task runs the columns of all tasks on one image. Here an image has one domain;
the columns of ten domains would cost ten forward passes, most of them over images they were never trained on. Mixed
weights cost one. Starts at the trunk exactly: all columns begin as the trunk, and part because domains weigh them
differently, domain d with 0.9 of column d mod C, the rest of 1 shared by the others. As published, a has a rate
of its own, far above that of the weights: an Adam at `lr`.
Stored per domain: C numbers a convolution, and the norms; shared beside the trunk: C - 1 columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import EditedConv
from decathlon.models.method import Apart, Learned, Method, Options, Regime, option
from decathlon.models.surgery import Beside
from decathlon.models.trunks.trunk import Trunk

OWN = 0.9


@dataclass(frozen=True)
class CrossStitchOptions(Options):
    """The columns."""

    columns: int = option(2, "columns of weights, the trunk among them")
    lr: float = option(0.01, "highest learning rate of the mixtures", may_differ=True)

    def __post_init__(self) -> None:
        if not 2 <= self.columns <= 64:
            raise UsageError(f"method 'cross-stitch': columns is {self.columns}, it must be from 2 to 64.")
        if not 0 < self.lr <= 1:
            raise UsageError(f"method 'cross-stitch': lr is {self.lr}, it must be a number above 0, at most 1.")


class Columns(nn.ParameterList):
    """Weights beside the trunk's at one convolution, each (outputs, inputs, height, width)."""

    def mix(self, coefficients: Tensor) -> Tensor:
        """Return their sum with coefficients (columns,)."""
        return torch.stack([a * weight for a, weight in zip(coefficients, self, strict=True)]).sum(0)


class Mixture(nn.Module):
    """A domain's mixture at one convolution: the trunk's weight to one of the same shape."""

    def __init__(self, columns: nn.Module, coefficients: Tensor) -> None:
        super().__init__()
        self.columns = columns
        self.coefficients = nn.Parameter(coefficients)

    def forward(self, weight: Tensor) -> Tensor:
        """Return a_0 W + the mixture of the columns beside it."""
        beside: Tensor = cast(Any, self.columns).mix(self.coefficients[1:])
        return self.coefficients[0] * weight + beside


class CrossStitch(Method):
    """Mixed columns at every convolution; norms per domain."""

    group = "sharing"
    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)
    options: CrossStitchOptions = CrossStitchOptions()

    body: ClassVar[str] = "body"  # where the trunk stands in a domain's network

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.columns = Beside(trunk, self._columns)
        self.shared["columns"] = self.columns

    def _columns(self, conv: nn.Conv2d) -> Columns:
        return Columns(conv.weight.detach().clone() for _ in range(self.options.columns - 1))

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Mix the weight of any convolution; its bias stays."""
        columns = self.columns.of(conv)
        assert columns is not None
        return EditedConv(conv, Mixture(columns, torch.eye(self.options.columns)[0]))

    def prepare(self, learned: Learned | None, domains: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
        """Continue a run of this kind, or give every domain a column that it has most of."""
        if learned is not None and self.continues(learned):
            return super().prepare(learned, domains)
        count = self.options.columns
        if count == 1:
            return {}
        rest = torch.full((count, count), (1 - OWN) / (count - 1))
        rows = rest.fill_diagonal_(OWN)
        return {
            domain: {
                f"{self.body}.{path}.edit.coefficients": rows[number % count].clone()
                for path in self.columns.paths()
            }
            for number, domain in enumerate(domains)
        }

    def apart(self, body: nn.Module) -> Apart | None:
        """Train the mixtures with Adam."""
        mixtures = coefficients(body)
        return Apart("adam", self.options.lr, mixtures) if mixtures else None


def coefficients(body: nn.Module) -> tuple[nn.Parameter, ...]:
    """Return the mixtures in a domain's body."""
    return tuple(part.coefficients for part in body.modules() if isinstance(part, Mixture))
