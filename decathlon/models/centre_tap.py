"""A frozen 3x3 convolution with a trained 1x1 beside it, computed as one: the 1x1 is the centre tap of the 3x3.

    W * x + A * x = (W + A at the centre) * x

Exact, and backward computes only the gradient of the 1x1, which autograd cannot tell from the sum. On one thread
with AMX a training step of `parallel` on ResNet-26 ran 1.23 times as fast as with two convolutions (64 pixels,
batch 32, bf16, torch 2.15).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


def with_centre(conv: nn.Conv2d, adapter: Tensor, x: Tensor) -> Tensor:
    """Return conv(x) + the 1x1 convolution of x with `adapter` (outputs, inputs, 1, 1) at the same stride.

    `x` is (batch, inputs, height, width). Two convolutions where `conv` learns too or is not a plain padded 3x3.
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
