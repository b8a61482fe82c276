"""mgda: the shortest vector in the convex hull of the domains' gradients, which no domain's loss rises along.

Sener and Koltun 2018, "Multi-task learning as multi-objective optimization" (https://arxiv.org/abs/1810.04650),
after Désidéri 2012. Small gradients weigh most: a domain that is already fitted shortens the step of all.
"""

from decathlon.training.weightings._aggregation import Aggregation


class Mgda(Aggregation):
    """TorchJD's MGDA."""

    kind = "MGDA"
    mean = True
