"""cagrad: near the mean gradient, the direction along which the loss that falls least falls most.

Liu et al. 2021, "Conflict-averse gradient descent for multi-task learning" (https://arxiv.org/abs/2110.14048), with
c = 0.4: the result is within c times the length of the mean of it.
"""

from decathlon.training.weightings._aggregation import Aggregation


class Cagrad(Aggregation):
    """TorchJD's CAGrad."""

    kind = "CAGrad"
    options = {"c": 0.4}
    mean = True
