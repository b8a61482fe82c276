"""split: hard sharing, one trunk for all domains with their own norms and heads.

The plainest baseline of Liu, Johns, Davison 2019 (https://arxiv.org/abs/1803.10704), there with a wide and
a deep form of about MTAN's size: with `preset=wide` the trunk wrn-28-4 becomes wrn-28-5, with `preset=deep`
wrn-40-4 (in general one step wider, or two blocks a stage deeper). The same network as `bn` with a trunk that
learns. Ratios are counted in trunks as asked for. Starts at the trunk exactly. Stored per domain: the norms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Method, Options, Regime, option


@dataclass(frozen=True)
class SplitOptions(Options):
    """How large the trunk is."""

    preset: Literal["standard", "wide", "deep"] = option("standard", "wide or deep: a larger trunk")


class Split(Method):
    """The contract's defaults over a trunk that learns from all domains."""

    regimes: ClassVar[tuple[Regime, ...]] = ("joint",)
    published = Convention(heads=True, norms="once", nine=False)
    options: SplitOptions = SplitOptions()

    @classmethod
    def trunk_name(cls, name: str, options: Options) -> str:
        """Return the larger trunk of a preset; raises UsageError where `name` is no wide ResNet."""
        return _resized(name, cast(SplitOptions, options).preset, 1)

    @classmethod
    def unit_name(cls, name: str, options: Options) -> str:
        """Return the trunk that a preset made larger."""
        return _resized(name, cast(SplitOptions, options).preset, -1)


def _resized(name: str, preset: str, sign: int) -> str:
    if preset == "standard":
        return name
    wide = re.fullmatch(r"wrn-(\d+)-(\d+)(-dan)?", name)
    if wide is None:
        raise UsageError(f"method 'split': preset={preset} needs a trunk by a name like wrn-28-4, not {name}.")
    depth, width = int(wide[1]), int(wide[2])
    depth, width = (depth, width + sign) if preset == "wide" else (depth + 12 * sign, width)
    # below the smallest there is: a trunk that no preset has made larger
    return f"wrn-{depth}-{width}{wide[3] or ''}" if depth >= 10 and width >= 1 else name
