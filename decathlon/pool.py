"""A pool: the pixels of one domain's split in memory, cut into batches by one indexed read.

Resizing happens once, when the pool is loaded. A batch is then crop, flip and normalise, vectorised, with no
worker processes and no Python loop over images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from decathlon.device import home_of
from decathlon.domains import CropPolicy, Domain
from decathlon.errors import DataError
from decathlon.packed import PackedFile, PackedSplit
from decathlon.randomness import generator


class Pool:
    """The images of a domain in memory, ragged, ready to be cut to `size` x `size` for a device.

    `pixels` is uint8 (all pixels, 3); image i starts at pixel `offset[i]` and is `height[i]` x `width[i]`. They are
    on `home`: the device, or host memory where the device has no room (see `home_of`). `labels` are int64 (images,)
    on the device, -1 where unknown.
    """

    def __init__(self, domain: Domain, images: list[npt.NDArray[np.uint8]], labels: Tensor, image_ids: list[int],
                 size: int, device: torch.device | str = "cpu") -> None:  # fmt: skip
        self.domain, self.size, self.image_ids = domain, size, image_ids
        heights = np.array([image.shape[0] for image in images], np.int64)
        widths = np.array([image.shape[1] for image in images], np.int64)
        flat = np.concatenate([image.reshape(-1, 3) for image in images])
        home = home_of(flat.nbytes, torch.device(device))
        self.pixels = torch.from_numpy(flat).to(home)
        self.height = torch.from_numpy(heights).to(home)
        self.width = torch.from_numpy(widths).to(home)
        self.offset = torch.from_numpy(np.cumsum(heights * widths) - heights * widths).to(home)
        self.labels = labels.to(device)
        mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (domain.mean, domain.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._grid = torch.arange(size, device=home)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def device(self) -> torch.device:
        """Where the labels are, and the batches when they are made."""
        return self.labels.device

    @property
    def home(self) -> torch.device:
        """Where the pixels are, and where the indices of a batch should be."""
        return self.pixels.device

    def batch(self, index: Tensor, *, seed: tuple[int | str, ...] | None = None) -> Tensor:
        """Return normalised images (batch, 3, size, size), float32 and channels_last.

        `index` is int64 (batch,). With a `seed` the crop is random, and mirrored at random where the
        domain allows it, as a function of that seed and the kind of `home`; without one it is the centre.
        """
        index = index.to(self.home)
        height, width = self.height[index], self.width[index]
        if seed is None:
            draw = torch.full((3, len(index)), 0.5, device=self.home)
        else:
            draw = torch.rand(3, len(index), generator=generator(*seed, device=self.home), device=self.home)
        top = (draw[0] * (height - self.size + 1)).long()
        left = (draw[1] * (width - self.size + 1)).long()
        mirrored = (draw[2] < 0.5) & self.domain.flip
        rows = self.offset[index] + top * width
        rows = rows[:, None] + self._grid * width[:, None]
        columns = torch.where(mirrored[:, None], self.size - 1 - self._grid, self._grid) + left[:, None]
        where = (rows[:, :, None] + columns[:, None, :]).flatten()
        cut = self._read(where).view(len(index), self.size, self.size, 3)
        # a channels_last tensor is laid out as the pixels are: the permutation moves nothing
        return cut.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift)

    def _read(self, where: Tensor) -> Tensor:
        """Return the pixels (places, 3) at places in the pool, on the device."""
        if self.home == self.device:
            return self.pixels.index_select(0, where)
        # Pinned memory is copied while the host goes on; torch keeps this piece until the copy is done. Only what
        # is read is pinned: a pinned pool would take gigabytes that the system cannot move.
        cut = torch.empty(len(where), 3, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        return torch.index_select(self.pixels, 0, where, out=cut).to(self.device, non_blocking=True)


def load_pool(
    packed: PackedFile,
    domain: Domain,
    splits: tuple[str, ...],
    size: int,
    side: int,
    device: torch.device | str = "cpu",
) -> Pool:
    """Read splits of a domain into one pool, resized so that `size` x `size` is cut from a side of `side` pixels.

    Crop and flip are as `domain` says (see `Recipe.facts`). Raises DataError when the splits hold no image.
    """
    images: list[npt.NDArray[np.uint8]] = []
    labels, image_ids = [], []
    for name in splits:
        split = packed.read(domain.name, name)
        images += _resized(split, domain.crop, side, domain.mean)
        labels.append(torch.from_numpy(split.label.astype(np.int64)))
        image_ids += split.image_id.tolist()
    if not images:
        raise DataError(f"{packed.path} holds no {'+'.join(splits)} image of {domain.name}: prepare it with some.")
    return Pool(domain, images, torch.cat(labels), image_ids, size, device)


def _resized(
    split: PackedSplit, crop: CropPolicy, side: int, mean: tuple[float, float, float]
) -> list[npt.NDArray[np.uint8]]:
    return [fit(split.image(i), crop, side, mean) for i in range(len(split))]


def fit(
    image: npt.NDArray[np.uint8], crop: CropPolicy, side: int, mean: tuple[float, float, float]
) -> npt.NDArray[np.uint8]:
    """Resize one image (height, width, 3) as its crop policy says.

    `crop`: the shorter side becomes `side`. `squash`: both become `side`. `full`: the longer side becomes
    `side`, and bars in the domain's mean colour fill the square.
    """
    height, width = image.shape[:2]
    if crop == "squash":
        return _resize(image, side, side)
    if crop == "crop":
        scale = side / min(height, width)
        return _resize(image, max(side, round(height * scale)), max(side, round(width * scale)))
    scale = side / max(height, width)
    inner = _resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = np.round(np.array(mean) * 255)
    top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def _resize(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
