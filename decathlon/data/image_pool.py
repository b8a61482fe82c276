"""An image pool: the pixels of one domain's split in memory; one indexed read cuts a batch out of them.

Resizing happens once, when the pool is loaded. A batch is then crop, flip and normalise, vectorised, without
worker processes or a Python loop over images.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from decathlon.data.domains import CropPolicy, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.kernels import augment
from decathlon.system.device import home_of
from decathlon.system.seeding import generator

Pixels = npt.NDArray[np.uint8]
PIECE = 4096  # images concatenated at a time


class ImagePool:
    """The images of a domain in memory, ragged, ready to be cut to `size` x `size` for a device.

    `pixels` is uint8 (all pixels, 3); image i starts at pixel `offset[i]` and is `height[i]` x `width[i]`. They are
    on `home`: the device, or host memory where the device has no room (see `home_of`). `labels` are int64 (images,)
    on the device, -1 where unknown. `images` are consumed one by one, so that those read from a file are never in
    memory twice.
    """

    def __init__(self, domain: Domain, images: Iterable[Pixels], labels: Tensor,
                 image_ids: list[int], size: int, device: torch.device | str = "cpu") -> None:  # fmt: skip
        self.domain, self.size, self.image_ids = domain, size, image_ids
        flat, heights, widths = _gather(images)
        home = home_of(flat.nbytes, torch.device(device))
        offsets = np.cumsum(heights * widths) - heights * widths
        lists = (flat, heights, widths, offsets)
        self.pixels, self.height, self.width, self.offset = (torch.from_numpy(each).to(home) for each in lists)
        self.labels = labels.to(device)
        self._labels_at_home = labels.to(home)
        mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (domain.mean, domain.std))
        self.scale, self.shift = 1 / (255 * std), -mean / std
        self.fill = torch.from_numpy(_byte(domain.mean)).to(device)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def device(self) -> torch.device:
        """The device of the labels and of the batches."""
        return self.labels.device

    @property
    def home(self) -> torch.device:
        """The device of the pixels, where the indices of a batch should be too."""
        return self.pixels.device

    def batch(self, index: Tensor, *, seed: tuple[int | str, ...] | None = None, pad: int = 0) -> Tensor:
        """Return normalised images (batch, 3, size, size), float32 and channels_last; see `cut`."""
        return self.normalised(self.cut(index, seed=seed, pad=pad))

    def cut(self, index: Tensor, *, seed: tuple[int | str, ...] | None = None, pad: int = 0) -> Tensor:
        """Return images as uint8 (batch, 3, size, size), channels_last, on the device.

        `index` is int64 (batch,). With a `seed` the crop is random, out of the image and `pad` pixels of the mean
        colour around it, and mirrored at random where the domain allows it: a function of that seed and the kind of
        `home`. Without one it is the centre crop.
        """
        index = index.to(self.home)
        if seed is None:
            return cut(self, index, self.centre(index))
        draw = torch.rand(3, len(index), generator=generator(*seed, device=self.home), device=self.home)
        return cut(self, index, draw, pad)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return uint8 pixels (batch, 3, height, width) as the network takes them, float32."""
        return pixels.float().mul_(self.scale).add_(self.shift)

    def centre(self, index: Tensor) -> Tensor:
        """Return the draws (3, batch) that cut the centre as torchvision's `center_crop`, and do not mirror.

        Half a pixel is rounded to the even one, as Python's `round` does.
        """
        draw = torch.full((3, len(index)), 0.5, device=self.home)
        for row, side in zip(draw, (self.height, self.width), strict=False):
            over = side[index] - self.size
            row.add_((over / 2).round()).div_(over + 1)
        return draw

    def labels_of(self, index: Tensor) -> Tensor:
        """Return the labels (batch,) of images by their indices on `home`, without making the host wait."""
        found = self._labels_at_home[index]
        if self.home == self.device:
            return found
        return (found.pin_memory() if self.device.type == "cuda" else found).to(self.device, non_blocking=True)

    def read(self, where: Tensor) -> Tensor:
        """Return the pixels (pixels, 3) at positions in the pool, on the device."""
        if self.home == self.device:
            return self.pixels.index_select(0, where)
        # Pinned memory is copied while the host goes on; torch keeps this piece until the copy is done. Only the
        # piece is pinned: a pinned pool would take gigabytes that the system cannot move.
        cut = torch.empty(len(where), 3, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        return torch.index_select(self.pixels, 0, where, out=cut).to(self.device, non_blocking=True)


def load_pool(
    packed: PackedFile, domain: Domain, splits: tuple[str, ...], size: int, side: int,
    device: torch.device | str = "cpu",
) -> ImagePool:  # fmt: skip
    """Read splits of a domain into one pool, resized to a side of `side` pixels that `size` x `size` is cut from.

    Crop and flip follow `domain` (see `Recipe.facts`). Raises DataError when the splits hold no image.
    """
    labels, image_ids = (
        np.concatenate([packed.column(domain.name, split, column) for split in splits])
        for column in ("label", "image_id")
    )
    if not len(labels):
        raise DataError(f"{packed.path} holds no {'+'.join(splits)} image of {domain.name}. Prepare it with some.")
    read = (image for split in splits for image in packed.images(domain.name, split))
    images = (fit(image, domain.crop, side, domain.mean) for image in read)
    return ImagePool(domain, images, torch.from_numpy(labels.astype(np.int64)), image_ids.tolist(), size, device)


def _gather(images: Iterable[Pixels]) -> tuple[Pixels, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pixels of all images in one array (all pixels, 3), and the images' heights and widths."""
    shapes: list[tuple[int, int]] = []
    pieces, waiting = list[Pixels](), list[Pixels]()
    for image in images:
        shapes.append((image.shape[0], image.shape[1]))
        waiting.append(image.reshape(-1, 3))
        if len(waiting) == PIECE:
            pieces.append(np.concatenate(waiting))
            waiting.clear()
    pieces.append(np.concatenate([*waiting, np.empty((0, 3), np.uint8)]))
    heights, widths = np.array(shapes, np.int64).reshape(-1, 2).T
    flat = np.empty((int((heights * widths).sum()), 3), np.uint8)
    end = len(flat)
    while pieces:  # from the last on, each freed at once: a page of `flat` takes memory only when written
        piece = pieces.pop()
        flat[end - len(piece) : end] = piece
        end -= len(piece)
    return flat, heights, widths


def fit(image: Pixels, crop: CropPolicy, side: int, mean: tuple[float, float, float]) -> Pixels:
    """Resize one image (height, width, 3) for its crop policy.

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
    canvas[:] = _byte(mean)
    top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def _byte(mean: tuple[float, float, float]) -> Pixels:
    """Return a mean colour as a pixel (3,)."""
    return np.round(np.array(mean) * 255).astype(np.uint8)


def _resize(image: Pixels, height: int, width: int) -> Pixels:
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def fused(pool: ImagePool, index: Tensor, draw: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Compute `reference` in one kernel launch, bit for bit; the pool must be on the device."""
    return augment.fused(
        pool.pixels, pool.offset, pool.height, pool.width, pool.scale, pool.shift, index, draw,
        size=pool.size, flip=pool.domain.flip, dtype=dtype,
    )  # fmt: skip


def reference(pool: ImagePool, index: Tensor, draw: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normalised images (batch, 3, size, size) by their indices (batch,) and draws (3, batch), see `cut`."""
    return pool.normalised(cut(pool, index, draw)).to(dtype)


def cut(pool: ImagePool, index: Tensor, draw: Tensor, pad: int = 0) -> Tensor:
    """Return pixels (batch, 3, size, size), uint8, by the images' indices (batch,) and draws (3, batch) in 0..1.

    The draws are how far down and how far right the crop lies, and, when below a half, that it is mirrored.
    """
    size, height, width = pool.size, pool.height[index], pool.width[index]
    grid = torch.arange(size, device=pool.home)
    top = (draw[0] * (height - size + 1 + 2 * pad)).long() - pad
    left = (draw[1] * (width - size + 1 + 2 * pad)).long() - pad
    mirrored = (draw[2] < 0.5) & pool.domain.flip
    rows = top[:, None] + grid
    columns = torch.where(mirrored[:, None], size - 1 - grid, grid) + left[:, None]
    if not pad:
        return _read(pool, index, rows, columns)
    last_row, last_column = height[:, None] - 1, width[:, None] - 1
    found = _read(pool, index, rows.clamp(min=0).minimum(last_row), columns.clamp(min=0).minimum(last_column))
    outside = ((rows < 0) | (rows > last_row))[:, :, None] | ((columns < 0) | (columns > last_column))[:, None, :]
    return torch.where(outside[:, None].to(pool.device), pool.fill.view(3, 1, 1), found)


def _read(pool: ImagePool, index: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels (batch, 3, rows, columns) at rows and columns (batch, size) of images."""
    lines = pool.offset[index][:, None] + rows * pool.width[index][:, None]
    where = (lines[:, :, None] + columns[:, None, :]).flatten()
    # a channels_last tensor is laid out as the pixels are: the permutation moves nothing
    return pool.read(where).view(*lines.shape, columns.shape[1], 3).permute(0, 3, 1, 2)
