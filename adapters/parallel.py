"""parallel: a 1x1 convolution beside every 3x3 convolution of the frozen trunk.

Rebuffi, Bilen, Vedaldi 2018, "Efficient parametrization of multi-domain deep neural networks"
(https://arxiv.org/abs/1803.10082):

    y = BN_d(W * x + A_d * x)

A_d has the convolution's stride, no bias and no norm of its own. Starts at random, A_d drawn from
N(0, 2 / outputs) as published; `init=zero` starts at the trunk.
Stored per domain: A_d (1/9 of the 3x3 weights: 645,216 on ResNet-26) and the norms.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import PointwiseConv, initialise, with_centre
from decathlon.models.method import Method, Options, option
from decathlon.models.surgery import own


@dataclass(frozen=True)
class AdapterOptions(Options):
    """How the adapters start."""

    init: Literal["published", "zero"] = option(
        "published", "zero: adapters start at 0, training at the trunk", may_differ=True
    )


@dataclass(frozen=True)
class ParallelOptions(AdapterOptions):
    """How the adapters start, and how they train."""

    dropout: float = option(
        0.0, "part of the channels that adapters do not see in a step; 0.5 in the published code, where it is off",
        may_differ=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise UsageError(f"method 'parallel': dropout is {self.dropout}, it must be at least 0 and below 1.")


class ParallelConv(nn.Module):
    """A convolution plus its 1x1 adapter, both reading the same input."""

    def __init__(self, conv: nn.Conv2d, options: ParallelOptions) -> None:
        super().__init__()
        self.conv = conv
        self.dropout = nn.Dropout2d(options.dropout)
        self.adapter = PointwiseConv(conv.in_channels, conv.out_channels, conv.stride[0])
        initialise(self.adapter)
        if options.init == "zero":
            nn.init.zeros_(self.adapter.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        if self.training and self.dropout.p > 0:
            out: Tensor = self.conv(x) + self.adapter(self.dropout(x))
            return out
        return with_centre(self.conv, self.adapter.weight, x)

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """Return one 3x3 convolution."""
        return add_pointwise(self.conv, self.adapter.weight[:, :, 0, 0])


def add_pointwise(conv: nn.Conv2d, matrix: Tensor) -> nn.Conv2d:
    """Return a copy of a 3x3 convolution with a matrix (outputs, inputs) added to its centre tap.

    With padding equal to dilation, the centre tap reads the same pixels as a strided 1x1, at the edges too. Raises
    UsageError for other padding, such as that of timm's tf_ models, which changes with the size of the map.
    """
    if conv.padding != conv.dilation:
        raise UsageError(
            "a parallel adapter merges only into a 3x3 convolution that pads evenly. Use another trunk."
        )
    plain = own(conv)
    plain.weight[:, :, 1, 1] += matrix
    return plain


def adaptable(conv: nn.Conv2d) -> bool:
    """Return whether a 1x1 convolution beside `conv` gives maps of the same size: an ungrouped, padded 3x3."""
    # timm's subclasses pad in forward and have no attribute for it; a plain convolution has one
    padded = conv.padding == conv.dilation or type(conv) is not nn.Conv2d
    return conv.kernel_size == (3, 3) and conv.groups == 1 and padded


class Parallel(Method):
    """Adapters at every 3x3 convolution, stem included; norms per domain."""

    group = "adapters"
    published = Convention(heads=False, norms="out", nine=True)
    options: ParallelOptions = ParallelOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Put an adapter beside an ungrouped 3x3 convolution; leave others alone."""
        return ParallelConv(conv, self.options) if adaptable(conv) else conv
