"""The loop that a user of timm and torchvision would write for the same networks, with common settings.

One DataLoader per domain over images in memory; torchvision's crop with padding and flip, one image at a time;
batches of 64, all domains interleaved at random; timm's optimizer and cosine schedule; label smoothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2  # type: ignore[import-untyped]

from decathlon.data.image_pool import ImagePool
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.system.device import autocast

BATCH = 64


@dataclass(frozen=True)
class Setting:
    """The settings of an optimizer; they were not searched."""

    lr: float
    weight_decay: float
    momentum: float


SETTINGS = {"muon": Setting(0.01, 0.1, 0.95), "sgd": Setting(0.1, 5e-4, 0.9)}


class Images(Dataset[tuple[Tensor, int]]):
    """Images of a domain as tensors (3, height, width), and their labels."""

    def __init__(self, pool: ImagePool) -> None:
        self.pool, domain = pool, pool.domain
        fill = [round(255 * value) for value in domain.mean]
        steps: list[nn.Module] = [v2.RandomCrop(pool.size, padding=2, fill=fill)]
        steps += [v2.RandomHorizontalFlip()] if domain.flip else []
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(domain.mean, domain.std)]
        self.transform = v2.Compose(steps)

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        height, width, begin = (int(each[place]) for each in (self.pool.height, self.pool.width, self.pool.offset))
        pixels = self.pool.pixels[begin : begin + height * width].view(height, width, 3).permute(2, 0, 1)
        return self.transform(pixels), int(self.pool.labels[place])


class PlainLoop:
    """Trains all networks of a model together, an epoch at a time."""

    def __init__(
        self,
        optimizer: str,
        model: MultiDomainModel,
        pools: dict[str, ImagePool],
        epochs: int,
        seed: int,
        bf16: bool,
    ) -> None:
        self.model, self.epochs, self.bf16 = model, epochs, bf16
        torch.manual_seed(seed)
        self.loaders = {
            name: DataLoader(Images(pool), BATCH, shuffle=True, drop_last=len(pool) >= BATCH)
            for name, pool in pools.items()
        }
        setting = SETTINGS[optimizer]
        everything = nn.ModuleList([model.trunk, *model.networks.values()])
        self.optimizer = create_optimizer_v2(
            everything, opt=optimizer, lr=setting.lr, weight_decay=setting.weight_decay, momentum=setting.momentum
        )
        steps = epochs * sum(len(loader) for loader in self.loaders.values())
        self.schedule = CosineLRScheduler(
            self.optimizer, steps * 9 // 10, warmup_t=steps // 10, warmup_prefix=True, t_in_epochs=False
        )
        self.step = 0

    def epoch(self) -> None:
        """Take every domain's images once, in batches that are interleaved at random."""
        turns = [name for name, loader in self.loaders.items() for _ in range(len(loader))]
        batches: dict[str, Iterator[tuple[Tensor, Tensor]]] = {
            name: iter(each) for name, each in self.loaders.items()
        }
        for place in torch.randperm(len(turns)).tolist():
            images, labels = next(batches[turns[place]])
            network = self.model.networks[turns[place]].train()
            self.optimizer.zero_grad()
            with autocast(self.model.device, self.bf16):
                logits = network(images.to(memory_format=torch.channels_last))
            loss = cross_entropy(logits.float(), labels, label_smoothing=0.1)
            loss.backward()  # type: ignore[no-untyped-call]
            self.step += 1
            self.schedule.step_update(self.step)
            self.optimizer.step()
