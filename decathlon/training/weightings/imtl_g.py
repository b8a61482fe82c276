"""imtl-g: the combination of gradients whose projections on all of them are of one length.

Liu et al. 2021, "Towards impartial multi-task learning" (https://openreview.net/forum?id=IMPnRXEWpvr).
"""

from decathlon.training.weightings._aggregation import Aggregation


class ImtlG(Aggregation):
    """TorchJD's IMTLG."""

    kind = "IMTLG"
    mean = True
