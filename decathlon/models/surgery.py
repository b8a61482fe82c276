"""The places where a method may change a trunk: copy its structure, share its weights, replace convs and norms.

A domain's network is an ordinary module. A tensor it shares with the trunk is the same object, so "is this
the trunk's?" is a question of identity, never of names.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from decathlon.models.layers import FrozenNorm
from decathlon.system.resources import lacks_memory

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


def bounded(numbers: int, make: Callable[[], T]) -> T:
    """Return what `make` makes; raises ValueError, before it is filled, for more than `numbers` parameters.

    A file names what is built for it, and a wrong name may ask for more memory than any file could fill.
    """
    try:
        with _counted(numbers):
            return make()
    except RuntimeError as error:
        if lacks_memory(error):  # for a single tensor of such a network, perhaps
            with _counted(numbers), torch.device("meta"):
                make()
        raise


@contextlib.contextmanager
def _counted(numbers: int) -> Iterator[None]:
    """Raise ValueError inside the block when its modules get more parameters than that."""
    left = numbers

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise ValueError(f"it would have more than {numbers:,} parameters")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


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


def named_convs(trunk: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield every convolution of a trunk with its path."""
    for name, part in trunk.named_modules():
        if isinstance(part, nn.Conv2d):
            yield name, part


class Beside(nn.ModuleDict):
    """Modules that all domains share beside the trunk, one for each of some of its convolutions, by path."""

    def __init__(self, trunk: nn.Module, make: Callable[[nn.Conv2d], nn.Module | None]) -> None:
        made = ((path, conv, make(conv)) for path, conv in named_convs(trunk))
        kept = [(path, conv, module) for path, conv, module in made if module is not None]
        super().__init__({path.replace(".", "/"): module for path, _, module in kept})
        # a copy of the trunk holds the same weight objects, so they identify the module of a convolution
        self._of = {id(conv.weight): path for path, conv, _ in kept}

    def at(self, path: str) -> nn.Module:
        """Return the module of the convolution at a path."""
        return self[path.replace(".", "/")]

    def of(self, conv: nn.Conv2d) -> nn.Module | None:
        """Return a module for a network of a domain, which shares its tensors; None where there is none."""
        path = self._of.get(id(conv.weight))
        return None if path is None else share(self.at(path))

    def paths(self) -> list[str]:
        """Return the paths of the convolutions that have one."""
        return list(self._of.values())


def named_norms(trunk: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """Yield every batch norm of a trunk with its path; a frozen one is unwrapped."""
    inside = {id(part.norm) for part in trunk.modules() if isinstance(part, FrozenNorm)}
    for name, part in trunk.named_modules():
        if isinstance(part, FrozenNorm):
            yield name, part.norm
        elif isinstance(part, nn.BatchNorm2d) and id(part) not in inside:
            yield name, part
