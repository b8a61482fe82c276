"""aligned-mtl: the gradients' principal components brought to one length, so that none dominates.

Senushkin et al. 2023, "Independent component alignment for multi-task learning" (https://arxiv.org/abs/2305.19000).
"""

from decathlon.training.weightings._aggregation import Aggregation


class AlignedMtl(Aggregation):
    """TorchJD's AlignedMTL."""

    kind = "AlignedMTL"
    mean = True
