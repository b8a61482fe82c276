"""mtan: attention masks per domain on the taps of a shared trunk.

Liu, Johns, Davison 2019, "End-to-end multi-task learning with attention" (https://arxiv.org/abs/1803.10704).
For tap g_j, j = 0..3, and domain d:

    a_j = sigmoid(BN(C2(relu(BN(C1([g_j ; t_{j-1}]))))))        C1, C2: 1x1 with bias, the domain's
    t_j = pool(relu(BN(F_j * (a_j . g_j))))                       F_j: 3x3 with bias, shared by all domains

The features are t_3, pooled. Every norm, those of trunk and F_j too, has statistics per domain: the published
code shares them, and predictions collapse for all but the last domain trained. Starts at random.
Stored per domain: C1, C2 and norms (261,344 on wrn-28-4); shared beside the trunk: F_j (969,792).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from decathlon.models.footprint import Convention
from decathlon.models.layers import PointwiseConv, initialise
from decathlon.models.method import Options, Reader, Regime
from decathlon.models.surgery import own_norm, replace, share
from decathlon.models.trunks.trunk import Trunk


class Attention(nn.Sequential):
    """The mask a_j: (batch, inputs, height, width) -> (batch, channels, height, width) in 0..1."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(
            PointwiseConv(inputs, channels, bias=True),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            PointwiseConv(channels, channels, bias=True),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )
        initialise(self)


def tap_blocks(trunk: Trunk, joined: bool = False) -> nn.ModuleList:
    """Return a 3x3 convolution with norm for every tap, to the channels of the next one.

    `joined`: from the second tap on, it reads the tap concatenated with the result before it.
    """
    taps = trunk.tap_channels
    deeper = (*taps[1:], taps[-1])
    blocks = nn.ModuleList(
        nn.Sequential(nn.Conv2d(2 * tap if joined and j else tap, out, 3, padding=1), nn.BatchNorm2d(out))
        for j, (tap, out) in enumerate(zip(taps, deeper, strict=True))
    )
    initialise(blocks)
    return blocks


class MaskedTaps(nn.Module):
    """One domain's body: the trunk, the domain's masks, and the shared convolutions with the domain's norms."""

    def __init__(self, trunk: Trunk, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.trunk = trunk
        self.blocks = blocks
        # From the second tap on, a mask also sees the output of the block before it.
        sizes = enumerate(trunk.tap_channels)
        self.attention = nn.ModuleList(Attention(2 * tap if j else tap, tap) for j, tap in sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to features (batch, features)."""
        return self.read(self.trunk.taps(images))

    def read(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map the trunk's taps to features (batch, features)."""
        out = relu(self.blocks[0](self.attention[0](taps[0]) * taps[0]))
        for tap, attention, block in zip(taps[1:], self.attention[1:], self.blocks[1:], strict=True):
            # ceil_mode: an odd map halves to the size that a strided convolution gives the next tap
            before = max_pool2d(out, 2, ceil_mode=True)
            out = relu(block(attention(torch.cat((tap, before), 1)) * tap))
        return out.mean((2, 3))


class Mtan(Reader):
    """Masks over a trunk trained with them (the default), or over a frozen trunk."""

    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.shared["blocks"] = tap_blocks(trunk)

    def network(self, trunk: Trunk) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        blocks = cast(nn.ModuleList, self.shared["blocks"])
        return MaskedTaps(replace(share(trunk), norm=self.norm), replace(share(blocks), norm=own_norm))
