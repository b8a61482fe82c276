"""adversarial: features from which a classifier cannot tell the domain.

Ganin and Lempitsky 2015, "Unsupervised domain adaptation by backpropagation" (https://arxiv.org/abs/1409.7495).
A classifier of the domains reads the last tap, and its gradient is reversed on the way into the trunk, more and
more:

    g -> -(2 / (1 + exp(-10 p)) - 1) g            p: the fraction of training that is done

With one micro-batch of one domain at a time it sees one class in each, so that it needs several domains and many
steps. Domains with other classes have reasons to look different: expect it to cost accuracy.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.models.trunks.trunk import Trunk
from decathlon.training.auxiliary import Auxiliary, pooled
from decathlon.training.objective import MicroBatch
from decathlon.training.weighting import Setting

HIDDEN = 128


class Reversal(torch.autograd.Function):
    """The identity, with the gradient times -strength."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def strength(progress: float) -> float:
    """Return how strongly the gradient is reversed: 0 at the beginning, almost 1 at the end."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class Adversarial(Auxiliary):
    """A classifier of the domains behind a reversed gradient."""

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        super().__init__(setting, trunk)
        self.classifier = nn.Sequential(
            nn.Linear(self.channels[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(self.domains))
        )

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the cross entropy of the domain, None where there is but one."""
        if len(self.domains) < 2 or not batch.taps:
            return None
        features: Tensor = Reversal.apply(pooled(batch.taps[-1]), strength(batch.progress))
        wanted = torch.full((len(features),), self.domains.index(batch.domain), device=features.device)
        return cross_entropy(self.classifier(features), wanted)
