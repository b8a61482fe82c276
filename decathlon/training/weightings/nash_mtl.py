"""nash-mtl: the domains bargain over the direction; the result is the Nash solution.

Navon et al. 2022, "Multi-task learning as a bargaining game" (https://arxiv.org/abs/2202.01017): weights a > 0 with
G G' a = 1 / a for the gradients G as rows, and the result cut to length 1. The length says nothing of the
gradients': with an optimizer whose steps grow with it, the rate has to be found anew.
"""

from decathlon.training.weighting import Setting
from decathlon.training.weightings._aggregation import Aggregation


class NashMtl(Aggregation):
    """TorchJD's NashMTL."""

    kind = "NashMTL"

    def __init__(self, setting: Setting) -> None:
        self.options = {"n_tasks": len(setting.domains)}
        super().__init__(setting)
