"""dense: private 3x3 convolutions on the taps of a shared trunk, without masks.

The baseline that shares the trunk as MTAN does, but has no attention (Liu, Johns, Davison 2019,
https://arxiv.org/abs/1803.10704). For tap g_j, j = 0..3, and domain d:

    t_j = pool(relu(BN(F_dj * [g_j ; t_{j-1}])))          F_dj: 3x3 with bias, the domain's

The features are t_3, pooled. Starts at random. Stored per domain: F_dj and the norms.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from decathlon.adapters.mtan import tap_blocks
from decathlon.models.footprint import Convention
from decathlon.models.method import Reader
from decathlon.models.surgery import replace, share
from decathlon.models.trunks.trunk import Trunk


class DenseTaps(nn.Module):
    """One domain's body: the trunk, and a convolution on each tap joined with the result before it."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.blocks = tap_blocks(trunk, joined=True)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to features (batch, features)."""
        return self.read(self.trunk.taps(images))

    def read(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map the trunk's taps to features (batch, features)."""
        out = relu(self.blocks[0](taps[0]))
        for tap, block in zip(taps[1:], self.blocks[1:], strict=True):
            out = relu(block(torch.cat((tap, max_pool2d(out, 2, ceil_mode=True)), 1)))
        return out.mean((2, 3))


class Dense(Reader):
    """Convolutions on the taps of a trunk trained with them (the default), or of a frozen one."""

    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        return DenseTaps(replace(share(trunk), norm=self.norm))
