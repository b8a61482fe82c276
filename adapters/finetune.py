"""finetune: every domain trains a whole copy of the trunk.

The row that defines the score's baseline (Rebuffi et al. 2017, https://arxiv.org/abs/1705.08045): full freedom
at ten times the parameters. Starts at the trunk exactly. Stored per domain: a whole trunk.
"""

from torch import nn

from decathlon.models.footprint import Convention
from decathlon.models.method import Method
from decathlon.models.surgery import own
from decathlon.models.trunks.trunk import Trunk


class Finetune(Method):
    """A copy of the trunk, all of it trainable."""

    group = "baselines"
    regimes = ("private",)
    published = Convention(heads=False, norms="in", nine=False)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return a trainable copy: (batch, 3, height, width) -> (batch, features)."""
        return own(trunk)
