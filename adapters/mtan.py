"""mtan: attention masks per domain on the taps of a shared trunk.

Liu, Johns, Davison 2019, "End-to-end multi-task learning with attention" (https://arxiv.org/abs/1803.10704).
For tap g_j, j = 0..3, and domain d:

    a_j = sigmoid(BN(C2(relu(BN(C1([g_j ; t_{j-1}]))))))        C1, C2: 1x1 with bias, the domain's
    t_j = pool(relu(BN(F_j * (a_j . g_j))))                       F_j: 3x3 with bias, shared by all domains

The features are t_3, pooled. Every norm, those of trunk and F_j too, has statistics per domain: the published
code shares them, and predictions collapse for all but the last domain trained. Starts at random: from
N(0, 2 / fan-out), or with `init=published` as the published code does, which leaves trunk, masks and F_j as torch
makes them and gives the trunk's last norm momentum 0.9.
Stored per domain: C1, C2 and norms (261,344 on wrn-28-4); shared beside the trunk: F_j (969,792).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import PointwiseConv, initialise
from decathlon.models.method import Learned, Options, Reader, ReaderOptions, Regime, option
from decathlon.models.surgery import M, own_norm, replace, share
from decathlon.models.trunks.trunk import Trunk
from decathlon.models.trunks.wide_resnet import WideResNet


@dataclass(frozen=True)
class MtanOptions(ReaderOptions):
    """The norms of the trunk, and how all starts."""

    init: Literal["he", "published"] = option(
        "he", "published: torch's own weights, momentum 0.9 in the last norm; for wrn trunks", may_differ=True
    )


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

    group = "masks"
    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)
    options: MtanOptions = MtanOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.shared["blocks"] = self._started(tap_blocks(trunk))
        if self.options.init == "published":
            if not isinstance(trunk, WideResNet):
                raise UsageError("method 'mtan': init=published is of wide ResNets. Use a trunk like wrn-28-4.")
            trunk.bn.momentum = 0.9

    def prepare(self, learned: Learned | None, domains: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
        """Continue a run of mtan, or start a new trunk as the published code does."""
        if learned is None:
            self._started(self.trunk)
        return super().prepare(learned, domains)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        blocks = cast(nn.ModuleList, self.shared["blocks"])
        body = MaskedTaps(replace(share(trunk), norm=self.norm), replace(share(blocks), norm=own_norm))
        self._started(body.attention)
        return body

    def _started(self, module: M) -> M:
        """Draw a module's weights again as torch makes them, where the option says so."""
        for part in module.modules() if self.options.init == "published" else ():
            if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
                part.reset_parameters()
        return module
