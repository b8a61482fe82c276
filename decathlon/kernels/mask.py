"""mask: a norm's scale and shift, sigmoid and product in one pass, forward and backward, without storing the mask.

    a = scale_c z + shift_c,   out = sigmoid(a) g
    d g = d out sigmoid(a),   d a = d out g sigmoid(a) (1 - sigmoid(a)),   d z = scale_c d a,
    d scale_c = sum over rows of z d a,   d shift_c = sum over rows of d a

z, g, out: (batch, channels, height, width), channels_last; scale, shift: (channels,), computed in fp32.
Passes over a map: the reference forward 7 (the norm 2, sigmoid 2, product 3), keeping z, g and the mask; here 3,
keeping z and g. Backward 16 against 5: z, g and d out are read, d z and d g written. The sums are taken in parts
and added in a fixed order, so every repetition gives the same bits.

Statistics of a batch norm are not computed here. MTAN's attention can use this in evaluation, with scale and shift
of the running statistics (or 1 and 0 where the norm is folded into its convolution), and in training once the
statistics of the batch are there: scale and shift made of them carry their gradients on to z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from decathlon.kernels.choose import enabled
from decathlon.kernels.program import Program, blocks, power_of_two

if TYPE_CHECKING:
    import triton.language as tl

BLOCK = 1024  # values per program of the forward
TILE, TILES = 2048, 8  # values a program of the backward holds at once, and how many times


def mask(z: Tensor, g: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return g masked by z, in the type of g: (batch, channels, height, width)."""
    return (fused if enabled(z) and z.shape == g.shape else reference)(z, g, scale, shift)


def reference(z: Tensor, g: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Compute `mask` with torch."""
    a = z * scale.float()[:, None, None] + shift.float()[:, None, None]
    return (a.sigmoid() * g).to(g.dtype)


def fused(z: Tensor, g: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Compute `mask` with the kernels, for z and g of the same shape; gradients reach all four."""
    if z.shape != g.shape:
        raise ValueError(f"z {tuple(z.shape)} and g {tuple(g.shape)} must have the same shape.")
    out: Tensor = _Mask.apply(z, g, scale, shift)
    return out


class _Mask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, g: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        z, g, scale, shift = _flat(z), _flat(g), scale.contiguous(), shift.contiguous()
        ctx.save_for_backward(z, g, scale, shift)
        out = torch.empty_like(g)
        count = z.numel()
        _forward[(blocks(count, BLOCK),)](z, g, scale, shift, out, count, CHANNELS=z.shape[1], BLOCK=BLOCK)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z, g, scale, shift = ctx.saved_tensors
        d_out, d_z, d_g, channels = _flat(d_out), torch.empty_like(z), torch.empty_like(g), z.shape[1]
        rows, across = z.numel() // channels, min(power_of_two(channels), 128)
        down = TILE // across
        parts = blocks(rows, down * TILES)
        sums = torch.empty(2, parts, channels, device=z.device)
        _backward[(parts, blocks(channels, across))](
            z, g, scale, shift, d_out, d_z, d_g, sums, rows,
            CHANNELS=channels, DOWN=down, ACROSS=across, TILES=TILES,
        )  # fmt: skip
        d_scale, d_shift = sums.sum(1)
        return d_z, d_g, d_scale.to(scale.dtype), d_shift.to(shift.dtype)


def _flat(image: Tensor) -> Tensor:
    """Return a map that is contiguous as (batch, height, width, channels)."""
    return image.contiguous(memory_format=torch.channels_last)


@Program
def _forward(
    z: tl.tensor, g: tl.tensor, scale: tl.tensor, shift: tl.tensor, out: tl.tensor, count: tl.tensor,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    value = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside, channel = value < count, value % CHANNELS
    a = tl.load(z + value, mask=inside, other=0.0).to(tl.float32)
    a = a * tl.load(scale + channel).to(tl.float32) + tl.load(shift + channel).to(tl.float32)
    masked = tl.sigmoid(a) * tl.load(g + value, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + value, masked.to(out.dtype.element_ty), mask=inside)


@Program
def _backward(
    z: tl.tensor, g: tl.tensor, scale: tl.tensor, shift: tl.tensor, d_out: tl.tensor, d_z: tl.tensor,
    d_g: tl.tensor, sums: tl.tensor, rows: tl.tensor,
    CHANNELS: tl.constexpr, DOWN: tl.constexpr, ACROSS: tl.constexpr, TILES: tl.constexpr,
) -> None:  # fmt: skip
    channel = tl.program_id(1) * ACROSS + tl.arange(0, ACROSS)
    known = channel < CHANNELS
    factor = tl.load(scale + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    summand = tl.load(shift + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    d_scale, d_shift = tl.zeros((DOWN, ACROSS), tl.float32), tl.zeros((DOWN, ACROSS), tl.float32)
    for tile in range(TILES):
        row = (tl.program_id(0).to(tl.int64) * TILES + tile) * DOWN + tl.arange(0, DOWN)
        value, inside = row[:, None] * CHANNELS + channel[None, :], (row[:, None] < rows) & known[None, :]
        at_z = tl.load(z + value, mask=inside, other=0.0).to(tl.float32)
        at_g = tl.load(g + value, mask=inside, other=0.0).to(tl.float32)
        at_out = tl.load(d_out + value, mask=inside, other=0.0).to(tl.float32)  # 0 outside, so the sums are right
        masks = tl.sigmoid(at_z * factor + summand)
        d_a = at_out * at_g * masks * (1 - masks)
        tl.store(d_g + value, (at_out * masks).to(d_g.dtype.element_ty), mask=inside)
        tl.store(d_z + value, (d_a * factor).to(d_z.dtype.element_ty), mask=inside)
        d_scale, d_shift = d_scale + d_a * at_z, d_shift + d_a
    part = sums + tl.program_id(0) * CHANNELS + channel
    tl.store(part, tl.sum(d_scale, 0), mask=known)
    tl.store(part + tl.num_programs(0) * CHANNELS, tl.sum(d_shift, 0), mask=known)
