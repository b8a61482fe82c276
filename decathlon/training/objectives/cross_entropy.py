"""cross-entropy: the mean over the images of -log softmax(logits)[label], with the recipe's label smoothing.

Szegedy et al. 2016, "Rethinking the Inception Architecture" (https://arxiv.org/abs/1512.00567), section 7: with
smoothing s the label's weight is 1 - s and every class, the label's included, gets s / classes.
"""

from torch import Tensor
from torch.nn.functional import cross_entropy

from decathlon.training.objective import MicroBatch, Objective


class CrossEntropy(Objective):
    """Cross entropy of the logits with the labels."""

    def loss(self, batch: MicroBatch) -> Tensor:
        """Return the mean over the images of the batch, a scalar."""
        return cross_entropy(batch.logits, batch.labels, label_smoothing=self.recipe.label_smoothing)
