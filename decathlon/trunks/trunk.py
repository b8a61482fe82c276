"""What every trunk offers: named taps, pooled features, and a fresh copy of itself."""

from __future__ import annotations

from torch import Tensor, nn


class Trunk(nn.Module):
    """A convolutional network without a head.

    `name` is what `decathlon.trunks.build` was asked for. `tap_channels` are the channels of each tap, in order
    of depth; the last tap is what a head would pool.
    """

    name: str
    tap_channels: tuple[int, ...]

    @property
    def features(self) -> int:
        """The width of the pooled features a head reads."""
        return self.tap_channels[-1]

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to one (batch, channels, height, width) a tap, shallow to deep."""
        raise NotImplementedError

    def fresh(self) -> Trunk:
        """Return a trunk of the same structure with new random weights."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to pooled features (batch, features)."""
        return self.read(self.taps(images))

    def read(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map the taps to pooled features (batch, features)."""
        return taps[-1].mean((2, 3))


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that subsamples by slicing before it convolves at stride 1.

    The result is that of a strided 1x1 convolution. The detour avoids oneDNN's weight gradient for strided 1x1
    convolutions with fewer than 16 input channels in channels_last, which corrupts the heap (seen in torch 2.15).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, stride=stride, bias=bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, ceil(height/stride), ceil(width/stride))."""
        vertical, horizontal = self.stride
        return nn.functional.conv2d(input[:, :, ::vertical, ::horizontal], weight, bias)


def initialise(module: nn.Module) -> None:
    """Draw all convolutions from N(0, 2 / fan-out), set biases and norms to their identity (He et al. 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.reset_parameters()
