"""Modules that trunks and methods use in place of torch's own convolutions and norms."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that subsamples by slicing before it convolves at stride 1.

    The result is that of a strided 1x1 convolution. This avoids oneDNN's weight gradient for strided 1x1
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


class EditedConv(nn.Module):
    """A convolution whose weight goes through `edit`, (outputs, inputs, height, width) -> the same shape."""

    def __init__(self, conv: nn.Conv2d, edit: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.edit = edit

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        # through the convolution's own forward: some in timm pad by the size of the map
        out: Tensor = functional_call(self.conv, {"weight": self.edit(self.conv.weight)}, (x,))
        return out

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """Return a plain convolution with the edited weight."""
        plain = copy.deepcopy(self.conv).requires_grad_(True)
        plain.weight.copy_(self.edit(self.conv.weight))
        return plain


class FrozenNorm(nn.Module):
    """A norm that stays in evaluation mode, whatever mode the network is in."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenNorm:
        """Do nothing: statistics of a frozen norm never move."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, height, width) by the stored statistics."""
        out: Tensor = self.norm(x)
        return out
