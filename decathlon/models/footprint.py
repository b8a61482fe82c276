"""The bits that a set of domain networks needs, as a multiple of one trunk without a head.

    ratio = (bits shared by all domains + sum over domains of the bits of that domain) / (32 · numbers of the trunk)

Papers count differently, so every count names its convention, and that of a method's own paper is among them.
A norm counts as its two affine vectors: at test time its running statistics fold into them, so they are listed
as stored and never billed.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

from torch import Tensor, nn

from decathlon.models.surgery import tensors

# copied: norms that a domain has in place of shared ones
PARTS = ("weights", "norms", "copied norms", "head", "statistics")
NormCount = Literal["in", "once", "out"]
Bits = Callable[[str, Tensor], int]
BASE_DOMAIN = "imagenet12"  # the trunk's own domain, which a method on a frozen trunk need not adapt


@dataclass(frozen=True)
class Convention:
    """What a count includes.

    `norms`: `in` counts all, `once` leaves out a domain's copies of norms that trunk or shared modules hold,
    `out` leaves out all norms everywhere. `nine` leaves out the trunk's own domain. `shared` counts the
    modules that all domains use beside the trunk.
    """

    heads: bool
    norms: NormCount
    nine: bool
    shared: bool = True

    def __str__(self) -> str:
        domains = "without the trunk's own domain" if self.nine else "all domains"
        beside = "" if self.shared else ", without what they share beside the trunk"
        return f"heads {'in' if self.heads else 'out'}, norms {self.norms}, {domains}{beside}"


@dataclass(frozen=True)
class Row:
    """Bits of one kind of tensor: `scope` is trunk, shared or a domain; `part` is one of PARTS."""

    scope: str
    part: str
    tensors: int
    bits: int


@dataclass(frozen=True)
class Footprint:
    """The bits of a trunk, of the modules shared beside it, and of every domain.

    `trunk_used`: whether a domain reads the trunk. `unit` holds the rows of the trunk that ratios are counted in,
    usually the same trunk, with 32 bits a number whatever a method stores of it.
    """

    rows: tuple[Row, ...]
    unit: tuple[Row, ...]
    trunk_used: bool
    default: Convention
    published: Convention

    def bits(self, convention: Convention) -> int:
        """Return all billed bits under a convention."""
        return sum(row.bits for row in self.rows if self._billed(row, convention))

    def ratio(self, convention: Convention | None = None) -> float:
        """Return billed bits over the bits of one headless trunk, by default under the default convention."""
        convention = convention or self.default
        left_out = ("statistics", "norms") if convention.norms == "out" else ("statistics",)
        return self.bits(convention) / sum(row.bits for row in self.unit if row.part not in left_out)

    def conventions(self) -> list[Convention]:
        """Return the conventions that apply: `nine` only where a frozen trunk serves its own domain as it is."""
        nines = (True, False) if self.default.nine else (False,)
        usual = product((False, True), get_args(NormCount), nines)
        return [Convention(*choice) for choice in usual] + [self.published] * (not self.published.shared)

    def to_json(self) -> dict[str, Any]:
        """Return ratio, ratio by convention, and the rows, as plain JSON values."""
        return {
            "ratio": self.ratio(),
            "convention": str(self.default),
            "published": {"convention": str(self.published), "ratio": self.ratio(self.published)},
            "conventions": {str(convention): self.ratio(convention) for convention in self.conventions()},
            "rows": [dict(vars(row)) for row in self.rows],
        }

    def _billed(self, row: Row, convention: Convention) -> bool:
        if row.scope == "trunk" and not self.trunk_used:
            return False
        if row.scope == BASE_DOMAIN and convention.nine:
            return False
        if row.part == "statistics" or (row.scope == "shared" and not convention.shared):
            return False
        if row.part == "head":
            return convention.heads
        dropped = {"in": (), "once": ("copied norms",), "out": ("norms", "copied norms")}
        return row.part not in dropped[convention.norms]


def count(
    trunk: nn.Module, shared: nn.Module, networks: Mapping[str, nn.Module], bits: Bits,
    default: Convention, published: Convention, unit: nn.Module,
) -> Footprint:  # fmt: skip
    """Count what `networks` (by domain) over a trunk store; `bits(name, parameter)` is the size of a parameter."""
    common = tensors(trunk) | tensors(shared)
    rows = _rows("trunk", trunk, {}, bits) + _rows("shared", shared, {}, bits)
    held: set[int] = set()
    for domain, network in networks.items():
        rows += _rows(domain, network, common, bits)
        held |= {id(p) for p in network.parameters()}
    used = any(id(p) in held for p in trunk.parameters())
    # no domain is free where the trunk learns from all, or where its own domain is not among them
    free = default.nine and BASE_DOMAIN in networks
    conventions = (replace(c, nine=c.nine and free) for c in (default, published))
    return Footprint(tuple(rows), tuple(_rows("trunk", unit, {}, _full)), used, *conventions)


def _full(name: str, parameter: Tensor) -> int:
    return 32 * parameter.numel()


def _rows(scope: str, module: nn.Module, common: Mapping[int, Tensor], bits: Bits) -> list[Row]:
    total, number = Counter[str](), Counter[str]()
    head = getattr(module, "head", None)
    for path, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if id(parameter) not in common:
                part = "head" if owner is head else _part(owner)
                total[part] += bits(f"{path}.{name}", parameter)
                number[part] += 1
        # statistics fold into the affine part of their norm, unless other domains share it
        shared = any(id(parameter) in common for parameter in owner.parameters(recurse=False))
        for buffer in owner.buffers(recurse=False):
            if id(buffer) not in common:
                part = "copied norms" if shared and buffer.ndim else "statistics"
                total[part] += 8 * buffer.element_size() * buffer.numel()
                number[part] += 1
    return [Row(scope, part, number[part], total[part]) for part in PARTS if number[part]]


def _part(owner: nn.Module) -> str:
    if not isinstance(owner, nn.BatchNorm2d):
        return "weights"
    return "copied norms" if getattr(owner, "replaces_shared", False) else "norms"
