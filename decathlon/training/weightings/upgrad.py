"""upgrad: every domain's gradient, projected so that it harms no other one's loss, then the mean of them.

Quinton and Rey 2024, "Jacobian descent for multi-objective optimization" (https://arxiv.org/abs/2406.16232).
"""

from decathlon.training.weightings._aggregation import Aggregation


class Upgrad(Aggregation):
    """TorchJD's UPGrad."""

    kind = "UPGrad"
    mean = True
