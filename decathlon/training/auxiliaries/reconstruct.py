"""reconstruct: the image, a quarter as large, from the last tap.

An autoencoder as an auxiliary task, as in section 7.8 of Ruder 2017, "An overview of multi-task learning in deep
neural networks" (https://arxiv.org/abs/1706.05098). One decoder for all domains, two convolutions with an
enlargement between, and the mean squared error to the normalised image. It asks the last tap to keep where
things are.
"""

from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from decathlon.models.layers import initialise
from decathlon.models.trunks.trunk import Trunk
from decathlon.training.auxiliary import Auxiliary
from decathlon.training.objective import MicroBatch
from decathlon.training.weighting import Setting

HIDDEN, SMALLER = 64, 4


class Reconstruct(Auxiliary):
    """A decoder from the last tap."""

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        super().__init__(setting, trunk)
        self.inner = nn.Conv2d(self.channels[-1], HIDDEN, 3, padding=1)
        self.outer = nn.Conv2d(HIDDEN, 3, 3, padding=1)
        initialise(self)

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the mean squared error."""
        if not batch.taps:
            return None
        side = max(1, batch.images.shape[-1] // SMALLER)
        wanted = interpolate(batch.images.float(), (side, side), mode="bilinear", antialias=True)
        hidden = self.inner(batch.taps[-1].float()).relu()
        return mse_loss(self.outer(interpolate(hidden, (side, side), mode="bilinear")), wanted)
