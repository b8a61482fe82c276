"""The fast paths compute what the plain one does: memory layouts, bf16, and the detour around a broken kernel."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.models.layers import PointwiseConv
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel
from decathlon.models.registry import find_method, methods
from decathlon.models.trunks.registry import build
from decathlon.system.device import autocast

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 1, 2, 0])


def network(method: str) -> DomainNetwork:
    torch.manual_seed(0)
    return MultiDomainModel(find_method(method)(build("wrn-10-1")), 0, CPU).add("x", 3)


def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def after_a_step(net: DomainNetwork, x: Tensor, bf16: bool = False) -> Tensor:
    """Return the logits in training mode after one step of plain descent, in float32."""
    net.train()
    for learn in (True, False):
        with autocast(CPU, bf16):
            logits = net(x).float()
        if learn:
            cross_entropy(logits, LABELS).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for parameter in net.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(parameter.grad, alpha=0.01)
    last: Tensor = logits.detach()
    return last


@pytest.mark.parametrize("method", methods())
def test_a_step_in_channels_last_equals_one_in_the_plain_layout(method: str) -> None:
    fast = network(method)
    plain = copy.deepcopy(fast).to(memory_format=torch.contiguous_format)
    x = images()
    found = after_a_step(fast, x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, after_a_step(plain, x.contiguous()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", methods())
def test_a_step_in_bf16_stays_near(method: str) -> None:
    fast = network(method)
    plain = copy.deepcopy(fast)
    found, wanted = after_a_step(fast, images(), bf16=True), after_a_step(plain, images())
    assert (found - wanted).abs().max() <= 2e-2 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("trunk", ["wrn-10-1", "wrn-16-1-dan", "resnet26"])
@pytest.mark.parametrize("method", methods())
def test_no_strided_pointwise_convolution_reaches_the_kernel_that_corrupts_the_heap(
    method: str, trunk: str
) -> None:
    """oneDNN in torch 2.15: the weight gradient of 1x1, stride 2, fewer than 16 inputs, channels_last."""
    body = MultiDomainModel(find_method(method)(build(trunk)), 0, CPU).add("x", 3).body
    for part in body.modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1) and part.stride != (1, 1):
            assert isinstance(part, PointwiseConv)


@pytest.mark.parametrize("inputs", [3, 8, 15, 16])
def test_the_detour_has_the_right_gradient(inputs: int) -> None:
    conv = PointwiseConv(inputs, 32, 2, bias=True).to(memory_format=torch.channels_last)
    x = torch.randn(2, inputs, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    wanted = nn.Conv2d(inputs, 32, 1, 2).double()
    wanted.load_state_dict({name: tensor.double() for name, tensor in conv.state_dict().items()})
    grads = torch.autograd.grad(conv(x).square().sum(), (x, conv.weight))
    exact = torch.autograd.grad(wanted(x.double()).square().sum(), (x, wanted.weight))
    for found, right in zip(grads, exact, strict=True):
        torch.testing.assert_close(found, right.float(), atol=1e-4, rtol=1e-4)
