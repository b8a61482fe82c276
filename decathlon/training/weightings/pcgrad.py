"""pcgrad: where two domains' gradients point against each other, each loses its part along the other.

Yu et al. 2020, "Gradient surgery for multi-task learning" (https://arxiv.org/abs/2001.06782): for every domain, in
a random order of the others, project its gradient off the original ones that it disagrees with, then take the sum.
"""

from decathlon.training.weightings._aggregation import Aggregation


class Pcgrad(Aggregation):
    """TorchJD's PCGrad."""

    kind = "PCGrad"
