"""Modules that trunks and methods use in place of torch's own convolutions and norms."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import avg_pool2d, conv2d


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that subsamples before it convolves at stride 1.

    The result is that of a strided 1x1 convolution. It subsamples by a pooling of single pixels: the gradient of a
    slice is not channels_last, and every layer before it would then copy its own. All this avoids oneDNN's weight
    gradient for strided 1x1 convolutions with fewer than 16 input channels in channels_last, which corrupts the
    heap (seen in torch 2.15).
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, stride=stride, bias=bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, ceil(height/stride), ceil(width/stride))."""
        if self.stride != (1, 1):
            input = avg_pool2d(input, 1, self.stride)
        return conv2d(input, weight, bias)


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


def with_centre(conv: nn.Conv2d, adapter: Tensor, x: Tensor) -> Tensor:
    """Return conv(x) + the 1x1 convolution of x with `adapter` (outputs, inputs, 1, 1) at the same stride.

    `x` is (batch, inputs, height, width). Beside a frozen, plain, padded 3x3 the 1x1 is computed as its centre tap:

        W * x + A * x = (W + A at the centre) * x

    Exact, and backward computes only the gradient of the 1x1, which autograd cannot tell from the sum. On one
    thread with AMX a training step of `parallel` on ResNet-26 ran 1.23 times as fast as with two convolutions
    (64 pixels, batch 32, bf16, torch 2.15).
    """
    stride = conv.stride[0]
    plain = type(conv) is nn.Conv2d and conv.padding == (1, 1) and conv.dilation == (1, 1)
    plain = plain and conv.padding_mode == "zeros"
    if not plain or conv.stride != (stride, stride) or conv.weight.requires_grad:
        out: Tensor = conv(x) + conv2d(x[:, :, ::stride, ::stride], adapter)
        return out
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    together: Tensor = _Centre.apply(x.to(dtype), conv.weight, conv.bias, adapter, stride)
    return together


class _Centre(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, adapter: Tensor, stride: int) -> Tensor:
        merged = weight.clone()
        merged[:, :, 1:2, 1:2] += adapter
        merged = merged.to(x.dtype)
        ctx.save_for_backward(x, merged)
        ctx.stride, ctx.dtype = stride, adapter.dtype
        return conv2d(x, merged, None if bias is None else bias.to(x.dtype), stride, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, None]:
        x, merged = ctx.saved_tensors
        of_input, of_adapter = ctx.needs_input_grad[0], ctx.needs_input_grad[3]
        back = torch.ops.aten.convolution_backward
        rest = (1, 1), False, (0, 0), 1  # dilation, not transposed, its padding, groups
        to_input = back(grad, x, merged, None, (ctx.stride, ctx.stride), (1, 1), *rest, (of_input, False, False))[0]
        # strided by slicing, for the same reason as in PointwiseConv
        cut = x[:, :, :: ctx.stride, :: ctx.stride]
        centre = merged[:, :, 1:2, 1:2]
        to_adapter = back(grad, cut, centre, None, (1, 1), (0, 0), *rest, (False, of_adapter, False))[1]
        return to_input, None, None, to_adapter.to(ctx.dtype) if of_adapter else None, None
