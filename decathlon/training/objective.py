"""The contract of an objective: the loss of a micro-batch, from logits, labels and what the objective adds."""

from dataclasses import dataclass

import torch
from torch import Tensor

from decathlon.config.recipe import Recipe
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.system.plugins import Plugins

EMPTY = torch.empty(0)


@dataclass(frozen=True)
class MicroBatch:
    """What one domain's forward pass made of its images.

    `number` counts the domain's micro-batches from the start of training, `progress` is the fraction of it that
    is done. `images` (batch, 3, height, width) are augmented and normalised, `taps` those of the trunk inside
    the network, empty where no auxiliary objective reads them. `index` (batch,) are the places of the images in
    the domain's pool, `logits` (batch, classes) are float32, `labels` (batch,) int64 or, of images that were
    mixed with each other, the classes' shares (batch, classes).
    """

    domain: str
    network: DomainNetwork
    index: Tensor
    logits: Tensor
    labels: Tensor
    images: Tensor = EMPTY
    taps: tuple[Tensor, ...] = ()
    number: int = 0
    progress: float = 0.0


class Objective:
    """Base of all objectives. One file in `training/objectives/` holds one; a run has one for all its domains."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def loss(self, batch: MicroBatch) -> Tensor:
        """Return the loss of a micro-batch, a scalar with a gradient: a mean over its images."""
        raise NotImplementedError


OBJECTIVES: Plugins[Objective] = Plugins("objective", "decathlon.training.objectives", Objective)
