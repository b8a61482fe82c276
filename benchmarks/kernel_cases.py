"""Comparisons of the kernel benchmark: each kernel and its reference, at the sizes of wrn-28-4 on 64 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import cases
from decathlon.data import image_pool
from decathlon.kernels import folded_mask, grouped, mask

DOMAINS = 10


@dataclass(frozen=True)
class Setting:
    """Device, type, batch sizes, and the taps as (channels, pixels a side, inputs of the mask)."""

    device: torch.device
    dtype: torch.dtype = torch.bfloat16
    batches: tuple[int, ...] = (16, 64, 256)
    size: int = 64
    taps: tuple[tuple[int, int, int], ...] = ((16, 64, 16), (64, 32, 128), (128, 16, 256), (256, 8, 512))

    def random(self, *shape: int) -> Tensor:
        """Return normally distributed values of the setting's type."""
        return torch.randn(*shape, device=self.device).to(self.dtype)


@dataclass(frozen=True)
class Comparison:
    """A kernel and its reference on the same arguments; with `back`, the gradients of all arguments too."""

    kernel: str
    sizes: str
    images: int
    reference: Callable[..., Tensor]
    fused: Callable[..., Tensor]
    arguments: tuple[Any, ...]
    back: Tensor | None = None

    def call(self, compute: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        """Return the result and its gradients."""
        if self.back is None:
            with torch.no_grad():
                return (compute(*self.arguments),)
        out = compute(*self.arguments)
        return out, *torch.autograd.grad(out, self.arguments, self.back)

    def difference(self) -> float:
        """Return the largest difference between kernel and reference, over the largest value, at least 1."""
        pairs = list(zip(self.call(self.fused), self.call(self.reference), strict=True))
        for mine, theirs in pairs:
            if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
                raise TypeError(f"{mine.shape} {mine.dtype} instead of {theirs.shape} {theirs.dtype}")
        apart = [
            (mine.float() - theirs.float()).abs().max() / theirs.abs().max().clamp(1) for mine, theirs in pairs
        ]
        return torch.stack(apart).max().item()  # NaN stays visible


def comparisons(setting: Setting) -> Iterator[Comparison]:
    """Make all comparisons, one at a time: the large ones fill a GPU."""
    for batch in setting.batches:
        yield _augment(setting, batch)
        for channels, side, inputs in setting.taps:
            yield _mask(setting, batch, channels, side)
            yield _mask(setting, batch, channels, side, trained=True)
            yield _folded_mask(setting, batch, channels, side, inputs)
            yield _grouped(setting, batch, channels, side)


def _augment(setting: Setting, batch: int) -> Comparison:
    pool = cases.pool(cases.Setting(setting.device, size=setting.size))
    index = torch.randint(len(pool), (batch,), device=setting.device)
    arguments = pool, index, torch.rand(3, batch, device=setting.device), setting.dtype
    sizes = _sizes((batch, 3, setting.size, setting.size))
    return Comparison("augment", sizes, batch, image_pool.reference, image_pool.fused, arguments)


def _mask(setting: Setting, batch: int, channels: int, side: int, trained: bool = False) -> Comparison:
    shape = batch, channels, side, side
    maps = [setting.random(*shape).contiguous(memory_format=torch.channels_last) for _ in range(3)]
    arguments = *maps[:2], *(torch.randn(channels, device=setting.device) for _ in range(2))
    for part in arguments:
        part.requires_grad_(trained)
    name, back = ("mask, with gradients", maps[2]) if trained else ("mask", None)
    return Comparison(name, _sizes(shape), batch, mask.reference, mask.fused, arguments, back)


def _folded_mask(setting: Setting, batch: int, channels: int, side: int, inputs: int) -> Comparison:
    layers = nn.Linear(inputs, channels), nn.Linear(channels, channels)
    parts = [part.detach().to(setting.device, setting.dtype) for layer in layers for part in layer.parameters()]
    arguments = setting.random(batch * side * side, inputs), *parts
    sizes = _sizes((batch, inputs, side, side))
    return Comparison("folded mask", sizes, batch, folded_mask.reference, folded_mask.fused, arguments)


def _grouped(setting: Setting, batch: int, channels: int, side: int) -> Comparison:
    """Images of all domains, unequally many of each."""
    rows = setting.random(batch * side * side, channels)
    cuts = torch.randint(batch + 1, (DOMAINS - 1,)).sort().values
    ends = torch.cat((cuts, torch.tensor([batch]))).to(setting.device, torch.int32) * side * side
    arguments = rows, ends.int(), setting.random(DOMAINS, channels, channels), setting.random(DOMAINS, channels)
    sizes = _sizes((batch, channels, side, side))
    return Comparison("grouped", sizes, batch, grouped.reference, grouped.in_one, arguments)


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
