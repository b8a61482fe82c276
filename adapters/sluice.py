"""sluice: mixed columns of weights, and a head that reads a learned mixture of all taps.

Ruder, Bingel, Augenstein, Søgaard 2017, "Latent multi-task architecture learning"
(https://arxiv.org/abs/1705.08142). The two parts of the paper that have a meaning where an image has one domain:

    alpha:  the weights of every convolution mix `columns` columns, as in cross-stitch (1: none, the trunk alone)
    beta:   features = sum over taps j of  softmax(b_d)_j P_dj mean(g_j)

P_dj is a matrix of the domain to the width of the last tap, whose own is the identity: the paper's layers have
one width. Its third part, subspaces of a layer held apart by an orthogonality penalty, needs two tasks of one
image. Starts near the trunk: b_d gives the last tap nine tenths, and columns begin as the trunk. Stored per
domain: b_d, P_dj, the mixtures and norms; shared beside the trunk: the further columns.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from decathlon.adapters.cross_stitch import CrossStitch, CrossStitchOptions
from decathlon.errors import UsageError
from decathlon.models.layers import initialise
from decathlon.models.method import option
from decathlon.models.trunks.trunk import Trunk

LAST = 0.9  # the part of the last tap at the start


@dataclass(frozen=True)
class SluiceOptions(CrossStitchOptions):
    """The columns."""

    columns: int = option(2, "columns of weights, the trunk among them; 1: the trunk alone")

    def __post_init__(self) -> None:
        if not 1 <= self.columns <= 64:
            raise UsageError(f"method 'sluice': columns is {self.columns}, it must be from 1 to 64.")


class TapMixture(nn.Module):
    """One domain's body: the trunk, and a mixture of its pooled taps."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        *earlier, last = trunk.tap_channels
        self.project = nn.ModuleList(nn.Linear(channels, last, bias=False) for channels in earlier)
        rest = math.log((1 - LAST) / LAST / len(earlier)) if earlier else 0.0
        self.beta = nn.Parameter(torch.tensor([rest] * len(earlier) + [0.0]))
        initialise(self.project)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to features (batch, features)."""
        taps = self.trunk.taps(images)
        pooled = [project(tap.mean((2, 3))) for project, tap in zip(self.project, taps[:-1], strict=True)]
        pooled.append(self.trunk.read(taps))
        shares = torch.softmax(self.beta, 0)
        return torch.stack([share * tap for share, tap in zip(shares, pooled, strict=True)]).sum(0)


class Sluice(CrossStitch):
    """Mixed columns, and mixed taps in front of the head."""

    group = "sharing"
    options: SluiceOptions = SluiceOptions()
    body = "body.trunk"

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Mix the weight of any convolution, where there are several columns."""
        return conv if self.options.columns == 1 else super().conv(conv)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        return TapMixture(cast(Trunk, super().network(trunk, domain)))
