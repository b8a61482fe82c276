"""parallel: a 1x1 convolution beside every 3x3 convolution of the frozen trunk.

Rebuffi, Bilen, Vedaldi 2018, "Efficient parametrization of multi-domain deep neural networks"
(https://arxiv.org/abs/1803.10082):

    y = BN_d(W * x + A_d * x)

A_d has the convolution's stride, no bias and no norm of its own; drawn from N(0, 2 / outputs) as published.
Stored per domain: A_d (1/9 of the 3x3 weights: 645,216 on ResNet-26) and the norms.
"""

from __future__ import annotations

from torch import Tensor, nn

from decathlon.footprint import Convention
from decathlon.method import Method
from decathlon.trunks.trunk import PointwiseConv, initialise


class ParallelConv(nn.Module):
    """A convolution plus its 1x1 adapter, both reading the same input."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.adapter = PointwiseConv(conv.in_channels, conv.out_channels, conv.stride[0])
        initialise(self.adapter)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        out: Tensor = self.conv(x) + self.adapter(x)
        return out


class Parallel(Method):
    """Adapters at every 3x3 convolution, stem included; norms per domain."""

    published = Convention(heads=False, norms="out", nine=True)

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Put an adapter beside a 3x3 convolution; leave others and grouped ones alone."""
        return ParallelConv(conv) if conv.kernel_size == (3, 3) and conv.groups == 1 else conv
