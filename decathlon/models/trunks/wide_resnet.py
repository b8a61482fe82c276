"""Pre-activation wide ResNet (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146).

As MTAN uses it (Liu, Johns, Davison 2019, https://arxiv.org/abs/1803.10704): stride 2 in the first block of
every stage, biased convolutions, an unnormalised 1x1 shortcut. Published versions differ in where
the stride is and whether convolutions have biases, so both are options.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

from decathlon.errors import UsageError
from decathlon.models.layers import PointwiseConv, initialise
from decathlon.models.trunks.trunk import Trunk


class Block(nn.Module):
    """x + two BN-ReLU-conv units; the first block of a stage halves the map and widens it.

    `plain` says that its input has the shape of its output, so that a network could do without it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, stride_first: bool, bias: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_first else (1, stride)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, first, 1, bias=bias)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, second, 1, bias=bias)
        self.plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if self.plain else PointwiseConv(inputs, outputs, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        out = self.conv1(relu(self.bn1(x)))
        out = self.conv2(relu(self.bn2(out)))
        total: Tensor = out + self.shortcut(x)
        return total


class WideResNet(Trunk):
    """wrn-`depth`-`width`: a 3x3 stem of 16 channels and three stages of (depth - 4) / 6 blocks.

    Taps: stem output, outputs of stage 1 and 2, ReLU(BN(stage 3)).
    """

    def __init__(self, depth: int, width: int, stride_first: bool = False, conv_bias: bool = True) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6 or width < 1:
            fix = "Use a depth of 6n+4 (10, 16, 22, 28, 40) and width >= 1."
            raise UsageError(f"wrn-{depth}-{width} does not exist. {fix}")
        self.depth, self.width, self.stride_first, self.conv_bias = depth, width, stride_first, conv_bias
        self.name = f"wrn-{depth}-{width}{'-dan' if stride_first and not conv_bias else ''}"
        self.tap_channels = (16, 16 * width, 32 * width, 64 * width)
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=conv_bias)
        self.stage1, self.stage2, self.stage3 = (
            self.stage(inputs, outputs) for inputs, outputs in pairwise(self.tap_channels)
        )
        self.bn = nn.BatchNorm2d(self.features)
        initialise(self)

    def stage(self, inputs: int, outputs: int) -> nn.Sequential:
        """Return a new stage, which halves the map: (batch, inputs, h, w) -> (batch, outputs, h/2, w/2)."""
        options = self.stride_first, self.conv_bias
        rest = (Block(outputs, outputs, 1, *options) for _ in range((self.depth - 4) // 6 - 1))
        return nn.Sequential(Block(inputs, outputs, 2, *options), *rest)

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to the four taps, each half the height and width of the one before."""
        stem = self.stem(images)
        stage1 = self.stage1(stem)
        stage2 = self.stage2(stage1)
        return stem, stage1, stage2, relu(self.bn(self.stage3(stage2)))

    def fresh(self) -> WideResNet:
        """Return a wide ResNet of the same structure with new random weights."""
        return WideResNet(self.depth, self.width, self.stride_first, self.conv_bias)
