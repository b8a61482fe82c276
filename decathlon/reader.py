"""Methods that only read the taps of a trunk: what `feature`, `mtan` and `dense` have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from decathlon.method import Method, Options, option
from decathlon.seams import FrozenNorm, own_norm


@dataclass(frozen=True)
class ReaderOptions(Options):
    """Whose norms a frozen trunk has."""

    norms: Literal["domain", "trunk"] = option(
        "domain", "over a frozen trunk, those its run left for the domain, or one set for all: one pass serves all"
    )


class Reader(Method):
    """A method over taps; frozen, its trunk needs no gradient, because all norms stay in evaluation mode."""

    options: ReaderOptions = ReaderOptions()

    @property
    def takes_norms(self) -> bool:
        """Whether a domain starts from the norms that the trunk's run left for it."""
        return self.regime != "frozen" or self.options.norms == "domain"

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Keep a frozen trunk's norm in evaluation mode; the domain's own where the trunk learns."""
        return FrozenNorm(norm) if self.regime == "frozen" else own_norm(norm)
