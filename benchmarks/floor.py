"""The fastest a training step can be on a device: its work over what the device reaches in the same run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.timing import Case, measure


@dataclass(frozen=True)
class Work:
    """What one image of 64 x 64 pixels costs in a training step, computed from the layers' shapes, not measured.

    `eager`: bytes that move when every operation reads its inputs and writes its output, in bf16; `fused`: when
    norm, ReLU and mask ride along with the convolution beside them.
    """

    flop: float
    eager: float
    fused: float

    def floor(self, ceilings: Ceilings, size: int, fused: bool) -> float:
        """Return images a second that no step can exceed, at `size` pixels a side."""
        seconds = max(self.flop / ceilings.flop, (self.fused if fused else self.eager) / ceilings.bytes)
        return (64 / size) ** 2 / seconds  # convolutions cost by the pixel


@dataclass(frozen=True)
class Ceilings:
    """What a device reached: FLOP a second of a large bf16 product, bytes a second of a large copy."""

    flop: float
    bytes: float


def ceilings(device: torch.device, side: int, megabytes: int, seconds: float) -> Ceilings:
    """Measure the ceilings with square matrices of `side` and a copy of `megabytes`."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.ones(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found = measure(
        {
            "product": Case(1, lambda: torch.mm(left, right, out=product)),
            "copy": Case(1, lambda: target.copy_(source)),
        },
        rounds=5,
        seconds=seconds,
    )
    # a copy reads and writes
    return Ceilings(2 * side**3 * found["product"].per_second, 2 * len(source) * found["copy"].per_second)
