"""A step's images of all domains in one batch, for networks that share the norms of a trunk that learns.

As Universal Representations trains (Li et al. 2022, https://arxiv.org/abs/2204.02744): the statistics of the norms
are those of all domains together, and so fit each of them in evaluation mode.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from decathlon.models.multi_domain_model import DomainNetwork, trunk_in


def mixed_logits(networks: Sequence[DomainNetwork], images: Sequence[Tensor]) -> list[Tensor]:
    """Return each domain's logits (batch, classes) for its images (batch, 3, height, width), trunk run once.

    The networks' bodies read the taps of one trunk; all images have one height and width.
    """
    trunk = trunk_in(networks[0])
    assert trunk is not None  # the body of a reader holds one
    counts = [len(part) for part in images]
    taps = [torch.split(tap, counts) for tap in trunk.taps(torch.cat(list(images)))]
    return [
        network.head(network.body.read(parts))  # type: ignore[operator]
        for network, parts in zip(networks, zip(*taps, strict=True), strict=True)
    ]
