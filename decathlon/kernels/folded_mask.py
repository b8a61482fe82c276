"""folded_mask: MTAN's whole attention at prediction, two 1x1 convolutions, sigmoid and product in one launch.

With the norms folded into C1 and C2 (as `decathlon.inference.merging` does) and u = [g ; t], whose first channels
are the tap g:

    out = sigmoid(W2 relu(W1 u + b1) + b2) g

u: (rows, inputs), one row per position of a channels_last map, inputs up to 512; W1: (hidden, inputs),
b1: (hidden,); W2: (channels, hidden), b2: (channels,), channels <= inputs, hidden up to 256; out: (rows, channels).
Sums in fp32. Values per row that pass through memory, with hidden = channels = C: the reference inputs + 10 C
(three for the product, two for relu, sigmoid and C2 each, one written by C1), here inputs + 2 C. No backward:
evaluation only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from decathlon.kernels.choose import differentiated, enabled
from decathlon.kernels.program import Program, blocks, power_of_two

if TYPE_CHECKING:
    import triton.language as tl

MOST_INPUTS, MOST_HIDDEN = 512, 256
# Tiles by the bytes of a value: rows per program, inputs and channels at a time. In fp32 the operands of three
# products are in shared memory at once; smaller GPUs have 99 KiB of it.
TILES = {2: {"ROWS": 64, "DEPTH": 32, "ACROSS": 64}, 4: {"ROWS": 32, "DEPTH": 16, "ACROSS": 16}}


def folded_mask(u: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Return the masked tap (rows, channels) of u (rows, inputs)."""
    small = u.shape[1] <= MOST_INPUTS and len(w1) <= MOST_HIDDEN and u.element_size() in TILES
    chosen = fused if small and enabled(u) and not differentiated(u, w1, b1, w2, b2) else reference
    return chosen(u, w1, b1, w2, b2)


def reference(u: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Compute `folded_mask` with torch."""
    return linear(relu(linear(u, w1, b1)), w2, b2).sigmoid() * u[:, : len(w2)]


def fused(u: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """Compute `folded_mask` with the kernel, without gradients."""
    u, w1, b1, w2, b2 = (part.contiguous() for part in (u, w1, b1, w2, b2))
    rows, inputs = u.shape
    channels, hidden = w2.shape
    out, tile = u.new_empty(rows, channels), TILES[u.element_size()]
    _attend[(blocks(rows, tile["ROWS"]),)](
        u, w1, b1, w2, b2, out, rows, INPUTS=inputs, HIDDEN=hidden, CHANNELS=channels,
        UNITS=max(16, power_of_two(hidden)), **tile,
        # three products in tf32 are nearly one in fp32; bf16 ignores the option
        PRECISION="tf32x3" if u.dtype == torch.float32 else "tf32", num_warps=8, num_stages=2,
    )  # fmt: skip
    return out


@Program
def _attend(
    u: tl.tensor, w1: tl.tensor, b1: tl.tensor, w2: tl.tensor, b2: tl.tensor, out: tl.tensor, rows: tl.tensor,
    INPUTS: tl.constexpr, HIDDEN: tl.constexpr, CHANNELS: tl.constexpr, UNITS: tl.constexpr, ROWS: tl.constexpr,
    DEPTH: tl.constexpr, ACROSS: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    unit = tl.arange(0, UNITS)  # all of them: the second product needs every hidden value of a row
    hidden = tl.zeros((ROWS, UNITS), tl.float32)
    for begin in range(0, INPUTS, DEPTH):
        part = begin + tl.arange(0, DEPTH)
        left = tl.load(u + row * INPUTS + part[None, :], mask=(row < rows) & (part[None, :] < INPUTS), other=0.0)
        inside = (part[:, None] < INPUTS) & (unit[None, :] < HIDDEN)
        right = tl.load(w1 + unit[None, :] * INPUTS + part[:, None], mask=inside, other=0.0)
        hidden = tl.dot(left, right, hidden, input_precision=PRECISION)
    hidden += tl.load(b1 + unit, mask=unit < HIDDEN, other=0.0).to(tl.float32)[None, :]
    active = tl.maximum(hidden, 0.0).to(u.dtype.element_ty)
    for begin in range(0, CHANNELS, ACROSS):
        channel = begin + tl.arange(0, ACROSS)
        inside = (unit[:, None] < HIDDEN) & (channel[None, :] < CHANNELS)
        right = tl.load(w2 + channel[None, :] * HIDDEN + unit[:, None], mask=inside, other=0.0)
        z = tl.dot(active, right, input_precision=PRECISION)
        z += tl.load(b2 + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)[None, :]
        inside = (row < rows) & (channel[None, :] < CHANNELS)
        tap = tl.load(u + row * INPUTS + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        masked = (tl.sigmoid(z) * tap).to(out.dtype.element_ty)
        tl.store(out + row * CHANNELS + channel[None, :], masked, mask=inside)
