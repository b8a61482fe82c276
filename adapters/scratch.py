"""scratch: every domain trains its own trunk from random weights.

The first row of the Visual Decathlon table (Rebuffi et al. 2017, https://arxiv.org/abs/1705.08045): what can be
learned from the data of one domain alone. Starts at random. Stored per domain: a whole trunk, ratio 10 for ten
domains.
"""

from torch import nn

from decathlon.models.footprint import Convention
from decathlon.models.method import Method
from decathlon.models.trunks.trunk import Trunk


class Scratch(Method):
    """A new trunk for every domain; the given trunk provides only the structure."""

    group = "baselines"
    regimes = ("private",)
    fresh = True
    published = Convention(heads=False, norms="in", nine=False)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return a trunk of the same structure with random weights: (batch, 3, h, w) -> (batch, features)."""
        return trunk.fresh().requires_grad_(True)
