"""The contract of a method: how one domain's network differs from the shared trunk."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from types import ModuleType
from typing import ClassVar, Literal

from torch import Tensor, nn

from decathlon import adapters
from decathlon.errors import UsageError, unknown
from decathlon.footprint import Convention
from decathlon.seams import own_norm, replace, share
from decathlon.trunks.trunk import Trunk

Regime = Literal["joint", "frozen", "private"]


class Method:
    """Base of all methods; a subclass overrides the finest seam that can say what it does.

    `regimes` lists what the trunk may be, the default first: `joint` (learns from all domains), `frozen`
    (unchanged, shared) or `private` (a trunk for every domain). `published` is the counting convention of the
    method's own paper. `shared` holds modules all domains use beside the trunk: trained, stored and billed once.
    """

    regimes: ClassVar[tuple[Regime, ...]] = ("frozen", "joint")
    published: ClassVar[Convention] = Convention(heads=False, norms="out", nine=True)

    def __init__(self, trunk: Trunk, regime: Regime | None = None) -> None:
        self.regime: Regime = self.regimes[0] if regime is None else regime
        if self.regime not in self.regimes:
            way = {"frozen": "--freeze", "joint": "--no-freeze", "private": "a trunk a domain"}
            raise UsageError(
                f"method '{self.name()}' cannot train with {way[self.regime]}: "
                f"it goes with {' or '.join(way[known] for known in self.regimes)}."
            )
        trunk.requires_grad_(self.regime == "joint")
        self.trunk = trunk
        self.shared = nn.ModuleDict()

    @classmethod
    def name(cls) -> str:
        """The method's name on the command line: its file's name."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Return what stands in place of one convolution; default: the trunk's own."""
        return conv

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Return the domain's normalisation; default: a trainable copy with statistics of its own."""
        return own_norm(norm)

    def bits(self, name: str, tensor: Tensor) -> int:
        """Return what a stored parameter takes; default: 32 bits a number."""
        return 32 * tensor.numel()

    def network(self, trunk: Trunk) -> nn.Module:
        """Return one domain's body, (batch, 3, height, width) -> (batch, features).

        `trunk` is the shared trunk, or a copy that shares its convolutions and starts from norms of the domain.
        """
        return replace(share(trunk), self.conv, self.norm)


def methods() -> dict[str, str]:
    """Return every known method by name with the first line of its file's docstring."""
    lines = {name: (_load(name).__doc__ or "").strip().partition("\n")[0] for name in _names()}
    return {name: line.removeprefix(f"{name}: ") for name, line in lines.items()}


def find_method(name: str) -> type[Method]:
    """Return the method class called `name`; raises UsageError with the nearest name there is."""
    if name not in _names():
        raise unknown("method", name, _names())
    module = _load(name)
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Method)]
    own_classes = [kind for kind in found if kind.__module__ == module.__name__]
    if len(own_classes) != 1:
        raise UsageError(f"{module.__name__} must define exactly one Method, it defines {len(own_classes)}.")
    return own_classes[0]


def _names() -> dict[str, str]:
    """Map a method's name to the module that defines it: this folder's files, then installed entry points."""
    inside = {
        entry.name.replace("_", "-"): f"decathlon.adapters.{entry.name}"
        for entry in pkgutil.iter_modules(adapters.__path__)
    }
    outside = {point.name: point.value for point in importlib.metadata.entry_points(group="decathlon.adapters")}
    return outside | inside


def _load(name: str) -> ModuleType:
    return importlib.import_module(_names()[name])
