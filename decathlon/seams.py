"""Where a method may change a trunk: copy its structure, share its weights, put modules in at conv and norm.

A domain's network is an ordinary module. What it shares with the trunk is the same tensor object, so "is this
the trunk's?" is a question of identity, never of names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

M = TypeVar("M", bound=nn.Module)


def share(module: M) -> M:
    """Copy a module's structure; its parameters and buffers stay the very same tensors."""
    return copy.deepcopy(module, tensors(module))


def tensors(module: nn.Module) -> dict[int, Tensor]:
    """Return all parameters and buffers of a module by identity."""
    return {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}


def own(module: M) -> M:
    """Copy a module with trainable weights and statistics of its own."""
    return copy.deepcopy(module).requires_grad_(True)


def own_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Copy a norm for one domain; the mark tells the footprint that it replaces a shared one."""
    copied = own(norm)
    copied.replaces_shared = True  # type: ignore[assignment]
    return copied


def own_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Copy a norm's running statistics for one domain; its affine parameters stay the very same tensors."""
    return copy.deepcopy(norm, {id(p): p for p in norm.parameters()})


class EditedConv(nn.Module):
    """A convolution whose weight goes through `edit`, (outputs, inputs, height, width) -> the same shape."""

    def __init__(self, conv: nn.Conv2d, edit: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.edit = edit

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        # through the convolution's own forward: timm has some that pad by the size of the map
        out: Tensor = functional_call(self.conv, {"weight": self.edit(self.conv.weight)}, (x,))
        return out

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """Return a plain convolution with the edited weight."""
        plain = own(self.conv)
        plain.weight.copy_(self.edit(self.conv.weight))
        return plain


class FrozenNorm(nn.Module):
    """A norm that stays in evaluation mode whatever mode the network is in."""

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


def replace(
    module: M,
    conv: Callable[[nn.Conv2d], nn.Module] = lambda conv: conv,
    norm: Callable[[nn.BatchNorm2d], nn.Module] = lambda norm: norm,
) -> M:
    """Put `conv(c)` in place of every convolution and `norm(n)` of every batch norm, in place; return `module`."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            setattr(module, name, conv(child))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, norm(child))
        else:
            replace(child, conv, norm)
    return module


def named_norms(trunk: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """Yield every batch norm of a trunk by its place in it, through the wrapper of a frozen one."""
    inside = {id(part.norm) for part in trunk.modules() if isinstance(part, FrozenNorm)}
    for name, part in trunk.named_modules():
        if isinstance(part, FrozenNorm):
            yield name, part.norm
        elif isinstance(part, nn.BatchNorm2d) and id(part) not in inside:
            yield name, part
