"""stan: attention masks on the taps of a domain's own trunk.

The single-task form of MTAN (Liu, Johns, Davison 2019, https://arxiv.org/abs/1803.10704): masks, convolutions
and trunk as in `mtan`, all of them the domain's. Starts at random beside the given trunk. Stored per domain: a
whole trunk, masks and the convolutions behind them.
"""

from torch import nn

from decathlon.adapters.mtan import MaskedTaps, tap_blocks
from decathlon.models.footprint import Convention
from decathlon.models.method import Method
from decathlon.models.surgery import own
from decathlon.models.trunks.trunk import Trunk


class Stan(Method):
    """A copy of the given trunk with masks on its taps; all of it trains."""

    group = "baselines"
    regimes = ("private",)
    published = Convention(heads=True, norms="in", nine=False)

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        return MaskedTaps(own(trunk), tap_blocks(trunk))
