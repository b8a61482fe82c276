"""split: hard sharing, one trunk for all domains with their own norms and heads.

The plainest baseline of Liu, Johns, Davison 2019 (https://arxiv.org/abs/1803.10704), with a wide and a deep form
of about MTAN's size: with `preset=wide` the trunk wrn-28-4 becomes wrn-28-5, with `preset=deep` wrn-40-4 (in
general one step wider, or two blocks a stage deeper). The same network as `bn` with a trunk that learns.
`norms=trunk` leaves nothing but heads to the domains: one set of norms, with statistics of batches of all
domains, the network of Universal Representations before distillation (Li et al. 2022,
https://arxiv.org/abs/2204.02744). Ratios are counted in trunks of the given name. Starts at the trunk exactly.
Stored per domain: the norms.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Options, Reader, ReaderOptions, option


@dataclass(frozen=True)
class SplitOptions(ReaderOptions):
    """The norms and the size of the trunk."""

    preset: Literal["standard", "wide", "deep"] = option("standard", "wide or deep: a larger trunk")


class Split(Reader):
    """Nothing but norms and heads over a trunk that learns from all domains."""

    group = "baselines"
    regimes = ("joint",)
    published = Convention(heads=True, norms="once", nine=False)
    options: SplitOptions = SplitOptions()

    @classmethod
    def trunk_name(cls, name: str, options: Options) -> str:
        """Return the larger trunk of a preset; raises UsageError where `name` is not a wide ResNet.

        A run directory keeps its own trunk.
        """
        return name if Path(name).is_dir() else _resized(name, cast(SplitOptions, options).preset, 1)

    @classmethod
    def unit_name(cls, name: str, options: Options) -> str:
        """Return the trunk before a preset made it larger."""
        return _resized(name, cast(SplitOptions, options).preset, -1)


def _resized(name: str, preset: str, sign: int) -> str:
    if preset == "standard":
        return name
    wide = re.fullmatch(r"wrn-(\d+)-(\d+)(-dan)?", name)
    if wide is None:
        raise UsageError(f"method 'split': preset={preset} does not fit {name}. Use a trunk like wrn-28-4.")
    depth, width = int(wide[1]), int(wide[2])
    depth, width = (depth, width + sign) if preset == "wide" else (depth + 12 * sign, width)
    # smaller than the smallest: no preset made this trunk
    return f"wrn-{depth}-{width}{wide[3] or ''}" if depth >= 10 and width >= 1 else name
