"""Every Triton kernel against its reference: on a GPU where there is one, else through Triton's interpreter.

`tests/kernels/test_kernels.py` runs this file in a process of its own with TRITON_INTERPRET=1, which has to be set
before anything loads Triton. On a GPU: `python -m pytest tests/kernels/kernels_compared.py`.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from decathlon.data import image_pool
from decathlon.data.image_pool import ImagePool
from decathlon.kernels import folded_mask, mask
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import TINY

INTERPRETED = bool(os.environ.get("TRITON_INTERPRET"))
DEVICE = torch.device("cpu" if INTERPRETED or not torch.cuda.is_available() else "cuda")
FP32, FP16, BF16 = torch.float32, torch.float16, torch.bfloat16
SHAPES = [(12, 12), (13, 31), (40, 12), (12, 13), (29, 27)]  # of images: some exactly as large as the crop
CORNERS = {"first": 0.0, "middle": 0.5, "last": 1 - 2**-24}


def drawn(*shape: int, dtype: torch.dtype = FP32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def ragged(flip: bool, size: int = 12) -> ImagePool:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in SHAPES]
    domain = TINY["apples"] if flip else TINY["boats"]
    return ImagePool(domain, images, torch.zeros(len(SHAPES)).long(), list(range(len(SHAPES))), size, DEVICE)


def same_batch(pool: ImagePool, index: list[int], draw: Tensor, dtype: torch.dtype = FP32) -> None:
    places = torch.tensor(index, device=DEVICE)
    found = image_pool.fused(pool, places, draw, dtype)
    assert found.is_contiguous(memory_format=torch.channels_last) and found.dtype == dtype
    # the interpreter cuts bits off where a GPU rounds to bf16
    slack = 2**-7 if INTERPRETED and dtype == BF16 else 0.0
    torch.testing.assert_close(found, image_pool.reference(pool, places, draw, dtype), rtol=slack, atol=0.0)


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("flip", [True, False])
def test_augment_equals_its_reference_to_the_bit(flip: bool, dtype: torch.dtype) -> None:
    same_batch(ragged(flip), [4, 0, 1, 1, 3, 2, 4], torch.rand(3, 7, device=DEVICE), dtype)


@pytest.mark.parametrize("size", [1, 7, 12])
def test_augment_cuts_any_size(size: int) -> None:
    same_batch(ragged(True, size), [0, 1, 2, 3, 4], torch.rand(3, 5, device=DEVICE))


@pytest.mark.parametrize("top", CORNERS)
@pytest.mark.parametrize("left", quickly(CORNERS, "last"))
@pytest.mark.parametrize("mirrored", [0.0, 0.5])
def test_augment_reaches_every_corner(top: str, left: str, mirrored: float) -> None:
    draw = torch.tensor([CORNERS[top], CORNERS[left], mirrored], device=DEVICE)[:, None].expand(3, 5)
    same_batch(ragged(True), [0, 1, 2, 3, 4], draw)


def test_augment_is_what_a_pool_makes() -> None:
    pool, index = ragged(True), torch.arange(5, device=DEVICE)
    assert torch.equal(image_pool.fused(pool, index, pool.centre(index)), pool.batch(index))


def test_kernels_take_slices() -> None:
    """Vectors with gaps between their values, which kernels do not see."""
    pool, gaps = ragged(True), torch.arange(10, device=DEVICE) // 2
    cuts = pool, gaps[::2], drawn(5, 3).sigmoid().T
    assert torch.equal(image_pool.fused(*cuts), image_pool.reference(*cuts))
    z, vectors = drawn(2, 4, 3, 3), drawn(4, 2)
    arguments = z, z.flip(0), vectors[:, 0], vectors[:, 1]
    torch.testing.assert_close(mask.fused(*arguments), mask.reference(*arguments))
    u, w, b = drawn(40, 20)[::2], drawn(20, 20).T, drawn(20, 2)[:, 0]
    torch.testing.assert_close(folded_mask.fused(u, w, b, w, b), folded_mask.reference(u, w, b, w, b))


# shapes (batch, channels, height, width): odd counts, one row, more channels than a block holds
MAPS = [(2, 3, 5, 7), slow((1, 16, 1, 1)), slow((3, 65, 9, 3)), (1, 130, 4, 4), slow((2, 8, 33, 64))]


def mask_inputs(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Return z, g, scale and shift that want gradients; norms keep their fp32."""
    maps = [drawn(*shape, dtype=dtype, seed=seed).to(memory_format=torch.channels_last) for seed in (1, 2)]
    vectors = [drawn(shape[1], seed=seed) for seed in (3, 4)]
    return [part.requires_grad_() for part in (*maps, *vectors)]


@pytest.mark.parametrize(("dtype", "near"), [(FP32, 1e-5), (BF16, 1e-2)])
@pytest.mark.parametrize("shape", MAPS)
def test_mask_and_its_gradients_equal_torch(shape: tuple[int, ...], dtype: torch.dtype, near: float) -> None:
    inputs = mask_inputs(shape, dtype)
    out, expected = mask.fused(*inputs), mask.reference(*inputs)
    torch.testing.assert_close(out, expected, rtol=near, atol=near)
    assert out.dtype == dtype and out.is_contiguous(memory_format=torch.channels_last)
    back = drawn(*shape, dtype=dtype, seed=5)  # laid out otherwise than the maps
    for mine, theirs in zip(*(torch.autograd.grad(made, inputs, back) for made in (out, expected)), strict=True):
        # of a sum over rows the bound is that of its parts
        torch.testing.assert_close(mine, theirs, rtol=near, atol=near * max(1.0, shape[2] * shape[3] / 64))


def test_mask_keeps_no_mask() -> None:
    inputs = mask_inputs((2, 3, 5, 7), FP32)
    kept: set[int] = set()

    def keep(part: Tensor) -> Tensor:
        kept.add(part.data_ptr())
        return part

    with torch.autograd.graph.saved_tensors_hooks(keep, keep):
        mask.fused(*inputs)
    assert kept == {part.data_ptr() for part in inputs}


def test_mask_over_the_statistics_of_a_batch_is_a_training_norm() -> None:
    z, g, weight, bias = mask_inputs((4, 5, 6, 6), FP32)
    variance, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    scale = weight * (variance + 1e-5).rsqrt()
    out = mask.fused(z, g, scale, bias - mean * scale)
    expected = batch_norm(z, None, None, weight, bias, training=True).sigmoid() * g
    torch.testing.assert_close(out, expected)
    inputs, back = (z, g, weight, bias), drawn(4, 5, 6, 6, seed=5)
    grads = [torch.autograd.grad(made, inputs, back) for made in (out, expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


# (rows, inputs, hidden, channels): rows beside the block, odd counts, the first tap, the largest
ATTENTIONS = [
    (1, 16, 16, 16),
    (65, 32, 16, 16),
    slow((100, 37, 19, 21)),
    slow((128, 70, 70, 70)),
    slow((64, 512, 256, 256)),
]


@pytest.mark.parametrize(("dtype", "near"), [(FP32, 1e-5), (FP16, 5e-3), (BF16, 3e-2)])
@pytest.mark.parametrize("sizes", ATTENTIONS)
def test_folded_mask_equals_its_reference(sizes: tuple[int, ...], dtype: torch.dtype, near: float) -> None:
    if INTERPRETED and dtype == BF16:
        pytest.skip("the interpreter multiplies the bits of bf16 as whole numbers")
    rows, inputs, hidden, channels = sizes
    first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, channels)
    parts = [part.detach().to(DEVICE, dtype) for part in (*first.parameters(), *second.parameters())]
    u = drawn(rows, inputs, dtype=dtype)
    found, expected = folded_mask.fused(u, *parts), folded_mask.reference(u, *parts)
    assert found.shape == (rows, channels) and found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=near, atol=near)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 224])
def test_augment_cuts_large_images(size: int) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (size + i, size + 7 * i, 3), np.uint8) for i in range(8)]
    pool = ImagePool(TINY["apples"], images, torch.zeros(8).long(), list(range(8)), size, DEVICE)
    same_batch(pool, list(range(8)) * 4, torch.rand(3, 32, device=DEVICE))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8, 16, 64, 64), (16, 64, 32, 32), (64, 256, 8, 8)])
def test_mask_on_the_taps_of_a_wide_trunk(shape: tuple[int, ...]) -> None:
    test_mask_and_its_gradients_equal_torch(shape, FP32, 1e-5)
