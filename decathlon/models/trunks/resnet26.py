"""The residual adapters' ResNet-26 (Rebuffi, Bilen, Vedaldi 2018, https://arxiv.org/abs/1803.10082).

Post-activation, with quirks of the published code that its weights depend on: no ReLU after the stem, a
shortcut of 2x2 average pooling with zeros for the new channels, one more BN-ReLU after the last stage. Universal
Representations (Li et al. 2022, https://arxiv.org/abs/2204.02744) leaves out that last ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from decathlon.models.layers import initialise
from decathlon.models.trunks.trunk import Trunk


class Block(nn.Module):
    """ReLU(shortcut + conv-BN-ReLU-conv-BN); the first block of a stage halves the map and doubles the channels.

    `plain` says that its input has the shape of its output, so that a network could do without it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = inputs != outputs
        self.plain = not self.down
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2 if self.down else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width), halved where channels double."""
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.down:
            x = avg_pool2d(x, 2, ceil_mode=True)
            x = torch.cat((x, torch.zeros_like(x)), 1)
        return relu(out + x)


class ResNet26(Trunk):
    """25 3x3 convolutions: a stem of `32 * width` channels and three stages of four blocks, each doubling.

    Taps: stem output after its BN, outputs of stage 1 and 2, ReLU(BN(stage 3)), without `last_relu` BN(stage 3).
    """

    def __init__(self, width: float = 1.0, last_relu: bool = True) -> None:
        super().__init__()
        stem = int(32 * width)
        self.width, self.last_relu = width, last_relu
        self.name = "resnet26" if last_relu else "resnet26-url"
        self.tap_channels = (stem, 2 * stem, 4 * stem, 8 * stem)
        self.stem = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(stem)
        self.stage1, self.stage2, self.stage3 = (
            nn.Sequential(Block(width // 2, width), *(Block(width, width) for _ in range(3)))
            for width in self.tap_channels[1:]
        )
        self.bn = nn.BatchNorm2d(self.features)
        initialise(self)

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to the four taps, each half the height and width of the one before."""
        stem = self.stem_bn(self.stem(images))
        stage1 = self.stage1(stem)
        stage2 = self.stage2(stage1)
        last = self.bn(self.stage3(stage2))
        return stem, stage1, stage2, relu(last) if self.last_relu else last

    def fresh(self) -> ResNet26:
        """Return a ResNet-26 of the same form with new random weights."""
        return ResNet26(self.width, self.last_relu)
