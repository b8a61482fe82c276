"""feature: a linear head on the frozen trunk, nothing else.

The lower bound of the Visual Decathlon table (Rebuffi et al. 2017, https://arxiv.org/abs/1705.08045). The
trunk stays in evaluation mode, its statistics too. Starts at the trunk exactly. Stored per domain: the head.
"""

from __future__ import annotations

from typing import ClassVar

from decathlon.models.footprint import Convention
from decathlon.models.method import Reader, Regime


class Feature(Reader):
    """The unchanged trunk, its norms in evaluation mode."""

    regimes: ClassVar[tuple[Regime, ...]] = ("frozen",)
    published = Convention(heads=False, norms="once", nine=True)
