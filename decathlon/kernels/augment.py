"""augment: images cropped out of a ragged pool, flipped and normalised, in one launch.

Its reference is `decathlon.data.image_pool.reference`.

With the offset o and size h, w of image i in the pool, and draws u, v, m in 0..1:

    out[b, c, y, x] = scale_c * pixels[o + (floor(u (h-S+1)) + y) w + floor(v (w-S+1)) + x', c] + shift_c
    x' = S-1-x where m < 1/2 and the domain may be flipped, else x

pixels: uint8 (all pixels, 3); out: (batch, 3, S, S), channels_last, fp32 or bf16.
Bytes per pixel of the batch: 85 by the reference in fp32 and 103 in bf16 (indices 8 written and 8 read, three
passes over fp32 values), here 3 read and 12 or 6 written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from decathlon.kernels.program import Program, blocks

if TYPE_CHECKING:
    import triton.language as tl

BLOCK = 1024  # output values per program


def fused(
    pixels: Tensor, offset: Tensor, height: Tensor, width: Tensor, scale: Tensor, shift: Tensor, index: Tensor,
    draw: Tensor, *, size: int, flip: bool, dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Return images (batch, 3, size, size) by their numbers `index` (batch,) and draws (3, batch).

    `pixels` is uint8 (all pixels, 3); offset, height and width are int64 (images,), scale and shift (3, 1, 1).
    """
    out = torch.empty(len(index), size, size, 3, dtype=dtype, device=pixels.device)
    grid = (len(index), blocks(size**2 * 3, BLOCK))
    # the kernel takes no strides; this copies a slice and costs nothing otherwise
    lists = (offset, height, width, scale, shift, index, draw)
    _cut[grid](pixels.contiguous(), *(part.contiguous() for part in lists), out, SIZE=size, FLIP=flip, BLOCK=BLOCK)
    return out.permute(0, 3, 1, 2)


@Program
def _cut(
    pixels: tl.tensor, offset: tl.tensor, height: tl.tensor, width: tl.tensor, scale: tl.tensor, shift: tl.tensor,
    index: tl.tensor, draw: tl.tensor, out: tl.tensor, SIZE: tl.constexpr, FLIP: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    image, batch = tl.program_id(0), tl.num_programs(0)
    source = tl.load(index + image)
    high, wide = tl.load(height + source), tl.load(width + source)
    top = (tl.load(draw + image) * (high - SIZE + 1).to(tl.float32)).to(tl.int64)
    left = (tl.load(draw + batch + image) * (wide - SIZE + 1).to(tl.float32)).to(tl.int64)
    value = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # in the order of the output: y, x, channel
    inside = value < SIZE * SIZE * 3
    channel, row, column = value % 3, value // 3 // SIZE, value // 3 % SIZE
    if FLIP:
        mirrored = tl.load(draw + 2 * batch + image) < 0.5
        column = tl.where(mirrored, SIZE - 1 - column, column)
    pixel = tl.load(offset + source) + (top + row) * wide + left + column
    found = tl.load(pixels + pixel * 3 + channel, mask=inside, other=0).to(tl.float32)
    found = found * tl.load(scale + channel) + tl.load(shift + channel)
    begin = out + image.to(tl.int64) * (SIZE * SIZE * 3)
    tl.store(begin + value, found.to(out.dtype.element_ty), mask=inside)
