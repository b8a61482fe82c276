"""What the training images of a domain go through beside crop and flip; most transforms are torchvision's.

Everything random is a function of the run's seed, the domain and the number of the micro-batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2  # type: ignore[import-untyped]

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Domain
from decathlon.data.image_pool import ImagePool
from decathlon.system.seeding import seeded

STEP = 4  # pixels by which a growing image size grows


class Augmentation:
    """The augmentation of one domain's images, by a recipe and the domain's facts.

    `recipe` is the domain's own (`Recipe.for_domain`). What its facts forbid is skipped: TrivialAugment turns
    images by up to 135 degrees, and where mirroring changes the meaning of an image, so does that.
    """

    def __init__(self, recipe: Recipe, pool: ImagePool, seed: int) -> None:
        self.recipe, self.pool, self.seed = recipe, pool, seed
        self.changes = _changes(recipe, pool.domain)
        kinds: list[v2.Transform] = []
        for kind, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)):
            if alpha:
                kinds.append(kind(alpha=alpha, num_classes=len(pool.domain.categories)))
        self.mixing = v2.RandomChoice(kinds) if kinds and recipe.augment else None

    def images(self, index: Tensor, number: int) -> Tensor:
        """Return the images of micro-batch `number`, (batch, 3, size, size), normalised, by their indices."""
        name = self.pool.domain.name
        if not self.recipe.augment:
            return self.pool.batch(index)
        seed = (self.seed, "augment", name, number)
        if not self.changes:
            images = self.pool.batch(index, seed=seed, pad=self.recipe.pad)
        else:
            pixels = self.pool.cut(index, seed=seed, pad=self.recipe.pad)
            with seeded(self.seed, "policy", name, number):
                pixels = torch.stack([self._changed(image) for image in pixels])
            images = self.pool.normalised(pixels)
        if self.recipe.color:
            with seeded(self.seed, "color", name, number):
                scale, shift = self.pool.scale, self.pool.shift  # of a level 0..255 to its normalised value
                levels = coloured((images - shift) / (255 * scale), self.recipe.color)
                images = levels * (255 * scale) + shift
        if self.recipe.cutout:
            with seeded(self.seed, "cutout", name, number):
                images = cut_out(images, round(self.recipe.cutout * self.pool.size))
        return images

    def _changed(self, image: Tensor) -> Tensor:
        for change in self.changes:
            image = change(image)
        return image

    def mix(self, images: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return images and labels (batch, classes) mixed with each other, or both as they are without mixing."""
        if self.mixing is None:
            return images, labels
        with seeded(self.seed, "mix", self.pool.domain.name, number):
            mixed, soft = self.mixing(images, labels)
        return mixed, soft


def _changes(recipe: Recipe, domain: Domain) -> list[v2.Transform]:
    """Return the transforms of single images, uint8 (3, height, width)."""
    fill = [round(255 * value) for value in domain.mean]
    made: list[v2.Transform] = []
    if recipe.policy == "randaugment":
        made.append(v2.RandAugment(magnitude=recipe.magnitude, fill=fill))
    elif recipe.policy == "trivialaugment" and domain.flip:
        made.append(v2.TrivialAugmentWide(fill=fill))
    return made


def coloured(images: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast and saturation of images (batch, 3, height, width) in 0..1, each by its own.

    What torchvision's ColorJitter does to one image, in an order that is one for the batch: image by image it took
    a sixth of a training step on a CPU (wrn-16-1, 32 pixels), and on a GPU it would take thousands of launches.
    """
    grey = torch.tensor([0.2989, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    factors = (1 + strength * (2 * torch.rand(3, len(images), 1, 1, 1) - 1)).to(images.device)
    for change in torch.randperm(3).tolist():
        other = torch.zeros((), device=images.device)  # brightness: towards black
        if change:  # saturation: towards grey; contrast: towards the mean of the grey
            other = (images * grey).sum(1, keepdim=True)
            other = other.mean((2, 3), keepdim=True) if change == 1 else other
        images = torch.lerp(other.expand_as(images), images, factors[change]).clamp(0, 1)
    return images


def cut_out(images: Tensor, side: int) -> Tensor:
    """Set a square of `side` pixels of every image (batch, 3, height, width) to zero, the mean colour.

    Its centre is anywhere in the image, so that part of it may lie outside, as in DeVries & Taylor (2017).
    """
    batch, _, height, width = images.shape
    rows, columns = (
        (torch.arange(length) - torch.randint(length, (batch, 1)) + side // 2) for length in (height, width)
    )
    inside = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None]
    return images.masked_fill(inside.to(images.device), 0.0)


def grown_size(recipe: Recipe, epoch: int) -> int:
    """Return the side in pixels of the training images of an epoch, from 0: it grows from `size_from` to `size`."""
    if not recipe.size_from:
        return recipe.size
    part = min(1.0, epoch / max(1.0, recipe.size_by * recipe.epochs))
    return min(recipe.size, recipe.size_from + int(part * (recipe.size - recipe.size_from)) // STEP * STEP)


def resized(images: Tensor, side: int) -> Tensor:
    """Return images (batch, 3, size, size) resized to `side` pixels."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)
