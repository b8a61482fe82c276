"""The taps of a frozen trunk, kept in memory: without augmentation they are the same in every epoch.

A reader of taps (`feature`, frozen `mtan` and `dense`) then trains without running the trunk. Where the body has
nothing to train, as in `feature`, its pooled features are kept and a step is one linear layer.
"""

from typing import Any

import torch
from torch import Tensor

from decathlon.data.image_pool import ImagePool
from decathlon.models.multi_domain_model import DomainNetwork, trunk_in
from decathlon.system.device import autocast

BATCH = 64


class TapCache:
    """Taps, or features, of the first images of a pool, as many as fit into `limit` bytes.

    All are computed at the start, in a fixed order: a resumed run has the same ones.
    """

    def __init__(self, network: DomainNetwork, pool: ImagePool, bf16: bool, limit: float) -> None:
        self.network, self.pool, self.bf16 = network, pool, bf16
        self.body: Any = network.body
        self.pooled = not any(parameter.requires_grad for parameter in network.body.parameters())
        one = self._make(torch.zeros(1, dtype=torch.long))
        each = sum(part.element_size() * part[0].numel() for part in one)
        self.images = min(len(pool), int(limit / each))
        self.parts = [_like(part, self.images) for part in one]
        for begin in range(0, self.images, BATCH):
            index = torch.arange(begin, min(begin + BATCH, self.images))
            for part, made in zip(self.parts, self._make(index), strict=True):
                part[index] = made

    def describe(self) -> str:
        """Return in one line how much is kept."""
        held = sum(part.element_size() * part.numel() for part in self.parts)
        what = "features" if self.pooled else "taps"
        return (
            f"{self.pool.domain.name}: caching the {what} of {self.images:,} of {len(self.pool):,} images, "
            f"{held / 1e6:,.1f} MB"
        )

    def logits(self, index: Tensor) -> Tensor:
        """Return the logits (batch, classes) of images by their place in the pool; gradients reach the reader."""
        held = index < self.images
        if self.images == len(self.pool) or bool(held.all()):  # the first asks no device
            parts = [part[index] for part in self.parts]
        else:
            rest = self._make(index[~held])
            parts = [_like(part, len(index)) for part in rest]
            for part, kept, made in zip(parts, self.parts, rest, strict=True):
                part[held], part[~held] = kept[index[held]], made
        with autocast(self.pool.device, self.bf16):
            features = parts[0] if self.pooled else self.body.read(tuple(parts))
            logits: Tensor = self.network.head(features)
        return logits

    @torch.no_grad()
    def _make(self, index: Tensor) -> tuple[Tensor, ...]:
        images = self.pool.batch(index)
        with autocast(self.pool.device, self.bf16):
            trunk = trunk_in(self.network)
            assert trunk is not None  # a reader's body holds one
            taps = trunk.taps(images)
            return (self.body.read(taps),) if self.pooled else taps


def _like(part: Tensor, images: int) -> Tensor:
    """Return memory for so many images of a part, channels_last where it is."""
    return torch.empty_like(part[:1].expand(images, *part.shape[1:]), memory_format=_layout(part))


def _layout(part: Tensor) -> torch.memory_format:
    last = part.dim() == 4 and part.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
