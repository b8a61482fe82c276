"""dense: a network of its own for every domain on the taps of a shared trunk, without masks.

The baseline that shares the trunk as MTAN does, but has no attention (Liu, Johns, Davison 2019,
https://arxiv.org/abs/1803.10704): "a shared network together with task-specific networks, where each
task-specific network receives all features from the shared network". For taps g_j, j = 0..3, and domain d:

    light:  t_j = pool(relu(BN(F_dj * [g_j ; t_{j-1}])))          F_dj: 3x3 with bias, in the places of MTAN's F_j
    full:   t_j = stage_dj([g_{j-1} ; t_{j-1}]), j = 1..3          stage_dj: as the trunk's; there is no t_0

`encoder=full` is the size of the published baseline: every domain has the stages of a whole trunk, which read
twice the channels, and a head on [g_3 ; t_3], pooled; it is for wide ResNets. `light`, the default, is MTAN with
private convolutions and without masks; its head is on t_3, pooled. Starts at random. Stored per domain: F_dj or
stage_dj, and the norms.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from decathlon.adapters.mtan import tap_blocks
from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import initialise
from decathlon.models.method import Reader, ReaderOptions, option
from decathlon.models.surgery import replace, share
from decathlon.models.trunks.trunk import Trunk
from decathlon.models.trunks.wide_resnet import WideResNet


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


class FullEncoder(nn.Module):
    """One domain's body: the trunk, and stages of its own, each on a tap joined with the result before it."""

    def __init__(self, trunk: Trunk, like: WideResNet) -> None:
        super().__init__()
        self.trunk = trunk
        channels = like.tap_channels
        self.stages = nn.ModuleList(
            like.stage(channels[j] * (2 if j else 1), channels[j + 1]) for j in range(len(channels) - 1)
        )
        self.bn = nn.BatchNorm2d(like.features)
        self.features = 2 * like.features
        initialise(self.stages)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to features (batch, features)."""
        return self.read(self.trunk.taps(images))

    def read(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map the trunk's taps to features (batch, features)."""
        out: Tensor = self.stages[0](taps[0])
        for tap, stage in zip(taps[1:-1], self.stages[1:], strict=True):
            out = stage(torch.cat((tap, out), 1))
        return torch.cat((taps[-1], relu(self.bn(out))), 1).mean((2, 3))


@dataclass(frozen=True)
class DenseOptions(ReaderOptions):
    """The size of a domain's network."""

    encoder: Literal["light", "full"] = option("light", "full: the stages of a whole trunk, the published size")


class Dense(Reader):
    """Convolutions on the taps of a trunk trained with them (the default), or of a frozen one."""

    group = "sharing"
    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)
    options: DenseOptions = DenseOptions()

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        inside = replace(share(trunk), norm=self.norm)
        if self.options.encoder == "light":
            return DenseTaps(inside)
        if not isinstance(self.trunk, WideResNet):
            raise UsageError("method 'dense': encoder=full is for wide ResNets. Use a trunk like wrn-28-4.")
        return FullEncoder(inside, self.trunk)
