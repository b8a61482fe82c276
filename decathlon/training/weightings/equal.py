"""equal: every active domain counts the same, the gradient of a step is the plain sum of the domains' gradients.

The "Equal" baseline of Liu et al. 2019, "End-to-End Multi-Task Learning with Attention"
(https://arxiv.org/abs/1803.10704), section 4.1:   L = sum over d of L_d.
"""

from decathlon.training.weighting import Weighting


class Equal(Weighting):
    """The sum of the losses, each a mean over its own micro-batch."""
