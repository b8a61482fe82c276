"""grouped: one 1x1 convolution per domain over rows sorted by domain, in one call.

    out[r] = W_d x[r] + b_d   for rows ends[d-1] <= r < ends[d]

rows: (rows, inputs), one row per position of a channels_last map; ends: int32 (domains,), ascending, the last one
the number of rows; a domain without rows repeats the one before; weight: (domains, outputs, inputs);
bias: (domains, outputs) or None; out: (rows, outputs). Memory traffic is that of the reference; launches and reads
of `ends` on the host are 1 and 0 (3 with a bias); the reference has one of each per domain.
No Triton: torch has `grouped_mm`. It is used where it works and no gradient is needed (its backward refuses
gradients of other layouts).
"""

import functools

import torch
from torch import Tensor
from torch.nn.functional import linear

from decathlon.kernels.choose import differentiated

ALIGNED = 16  # bytes; grouped_mm needs the length and the start of rows to be multiples


def grouped(rows: Tensor, ends: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return (rows, outputs): each row times the weight of its domain."""
    fits = all(_aligned(part) for part in (rows, weight)) and rows.dtype == weight.dtype
    if fits and not differentiated(rows, weight, bias) and works(rows.device, rows.dtype):
        return in_one(rows, ends, weight, bias)
    return reference(rows, ends, weight, bias)


def reference(rows: Tensor, ends: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `grouped` domain by domain."""
    counts = ends.diff(prepend=ends.new_zeros(1)).tolist()
    biases = [None] * len(weight) if bias is None else list(bias)
    return torch.cat([linear(*part) for part in zip(torch.split(rows, counts), weight, biases, strict=True)])


def in_one(rows: Tensor, ends: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `grouped` by `torch.nn.functional.grouped_mm`, in the type of rows and weight."""
    out: Tensor = torch.nn.functional.grouped_mm(rows, weight.transpose(1, 2), offs=ends)
    if bias is None:
        return out
    # the number of domains that end at or before a row, found on the device without a wait
    domain = torch.searchsorted(ends, torch.arange(len(rows), device=rows.device, dtype=ends.dtype), right=True)
    return out + bias[domain]


@functools.cache
def works(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether this torch has a working grouped_mm on a device: tried once, because versions differ."""
    try:
        ends = torch.tensor([1, 1, 3], dtype=torch.int32, device=device)
        rows, weight = (torch.ones(shape, dtype=dtype, device=device) for shape in ((3, 16), (3, 8, 16)))
        return bool((in_one(rows, ends, weight) == 16).all())
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def _aligned(part: Tensor) -> bool:
    wide = part.shape[-1] * part.element_size() % ALIGNED == 0
    return wide and part.is_contiguous() and part.data_ptr() % ALIGNED == 0
