"""The places where a method may change a trunk: copy its structure, share its weights, replace convs and norms.

A domain's network is an ordinary module. A tensor it shares with the trunk is the same object, so "is this
the trunk's?" is a question of identity, never of names.
"""

import copy
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

from torch import Tensor, nn

from decathlon.models.layers import FrozenNorm

M = TypeVar("M", bound=nn.Module)


def share(module: M) -> M:
    """Copy a module's structure; its parameters and buffers stay the very same tensors."""
    return copy.deepcopy(module, tensors(module))


def tensors(module: nn.Module) -> dict[int, Tensor]:
    """Return all parameters and buffers of a module by identity."""
    return {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}


def own(module: M) -> M:
    """Copy a module; the copy has its own statistics, and weights that train."""
    return copy.deepcopy(module).requires_grad_(True)


def own_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Copy a norm for one domain; the mark tells the footprint that it replaces a shared one."""
    copied = own(norm)
    copied.replaces_shared = True  # type: ignore[assignment]
    return copied


def own_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Copy a norm's running statistics for one domain; its affine parameters stay the very same tensors."""
    return copy.deepcopy(norm, {id(p): p for p in norm.parameters()})


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
    """Yield every batch norm of a trunk with its path; a frozen one is unwrapped."""
    inside = {id(part.norm) for part in trunk.modules() if isinstance(part, FrozenNorm)}
    for name, part in trunk.named_modules():
        if isinstance(part, FrozenNorm):
            yield name, part.norm
        elif isinstance(part, nn.BatchNorm2d) and id(part) not in inside:
            yield name, part
