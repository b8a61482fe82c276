"""rotation: by how many quarter turns an image was turned.

Gidaris, Singh, Komodakis 2018, "Unsupervised representation learning by predicting image rotations"
(https://arxiv.org/abs/1803.07728). Every image of a micro-batch is turned by 0, 90, 180 or 270 degrees, drawn at
random, and goes through the trunk of its domain a second time; one head of four classes for all domains reads
the last tap. A texture has no upright side: domains of textures are left out. It doubles the work of a step.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.models.multi_domain_model import trunk_in
from decathlon.models.trunks.trunk import Trunk
from decathlon.system.seeding import generator
from decathlon.training.auxiliary import Auxiliary, pooled
from decathlon.training.objective import MicroBatch
from decathlon.training.weighting import Setting

WITHOUT_UPRIGHT = frozenset({"dtd", "textures"})


class Rotation(Auxiliary):
    """A head on the last tap of turned images."""

    def __init__(self, setting: Setting, trunk: Trunk) -> None:
        super().__init__(setting, trunk)
        self.head = nn.Linear(self.channels[-1], 4)

    def loss(self, batch: MicroBatch) -> Tensor | None:
        """Return the cross entropy of the quarter turns, None for textures."""
        trunk = trunk_in(batch.network)
        if batch.domain in WITHOUT_UPRIGHT or trunk is None:
            return None
        drawn = generator(self.setting.seed, "rotation", batch.domain, batch.number)
        turns = torch.randint(4, (len(batch.images),), generator=drawn).to(batch.images.device)
        turned = torch.stack([torch.rot90(batch.images, k, (2, 3)) for k in range(4)])
        images = turned[turns, torch.arange(len(turns), device=turns.device)]
        return cross_entropy(self.head(pooled(trunk.taps(images)[-1])), turns)
