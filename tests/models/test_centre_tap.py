"""A 1x1 computed in the centre tap of a frozen 3x3: equal to two convolutions, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from decathlon.models.layers import PointwiseConv, with_centre


def two(conv: nn.Conv2d, adapter: PointwiseConv, x: Tensor) -> Tensor:
    out: Tensor = conv(x) + adapter(x)
    return out


def gradients(out: Tensor, adapter: PointwiseConv, x: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return torch.autograd.grad((out * weights).sum(), (x, adapter.weight))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [8, 9, 1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_convolution_equals_two(stride: int, bias: bool, size: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 3, stride, 1, bias=bias).requires_grad_(False)
    adapter = PointwiseConv(5, 7, stride)
    x = torch.randn(3, 5, size, size + 1).contiguous(memory_format=layout).requires_grad_()
    found, wanted = with_centre(conv, adapter.weight, x), two(conv, adapter, x)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(gradients(found, adapter, x), gradients(wanted, adapter, x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_in_bf16_gradients_of_the_adapter_keep_its_type() -> None:
    conv, adapter = nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False), PointwiseConv(16, 16)
    x = torch.randn(2, 16, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = with_centre(conv, adapter.weight, x)
    out.float().sum().backward()  # type: ignore[no-untyped-call]
    assert out.dtype == torch.bfloat16 and adapter.weight.grad is not None
    assert adapter.weight.grad.dtype == torch.float32
    wanted = torch.autograd.grad(two(conv, adapter, x).sum(), adapter.weight)[0]
    torch.testing.assert_close(adapter.weight.grad, wanted, atol=0.2, rtol=0.02)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2).requires_grad_(False)],
    ids=["learns", "dilated"],
)
def test_elsewhere_there_are_two_convolutions(conv: nn.Conv2d) -> None:
    adapter, x = PointwiseConv(4, 4), torch.randn(2, 4, 8, 8)
    out = with_centre(conv, adapter.weight, x)
    torch.testing.assert_close(out, two(conv, adapter, x))
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert (conv.weight.grad is not None) == conv.weight.requires_grad
