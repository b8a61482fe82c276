"""fairgrad: weights so that every domain's loss falls in proportion to its own share, alpha-fair.

Ban and Ji 2024, "Fair resource allocation in multi-task learning" (https://arxiv.org/abs/2402.15638).
"""

from decathlon.training.weightings._aggregation import Aggregation


class Fairgrad(Aggregation):
    """TorchJD's FairGrad."""

    kind = "FairGrad"
    options = {"alpha": 1.0}
