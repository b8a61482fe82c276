"""feature: a linear head on the frozen trunk, nothing else.

The lower bound of the Visual Decathlon table (Rebuffi et al. 2017, https://arxiv.org/abs/1705.08045). The
trunk stays in evaluation mode, its statistics too. Starts at the trunk exactly. Stored per domain: the head.
"""

from decathlon.models.footprint import Convention
from decathlon.models.method import Reader


class Feature(Reader):
    """The unchanged trunk, its norms in evaluation mode."""

    group = "baselines"
    regimes = ("frozen",)
    published = Convention(heads=False, norms="once", nine=True)
