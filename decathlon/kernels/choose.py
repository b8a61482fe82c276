"""Where a kernel works: on CUDA, with Triton there, unless the user says no.

Nothing calls them yet: a kernel is wired in only where it beats what `torch.compile` makes of its reference on a
GPU, and that has not been measured. `python -m benchmarks.kernels` measures it; where a kernel loses, its
reference stays. A tensor's device chooses (`enabled`); importing any file here needs no Triton and loads none.
"""

from __future__ import annotations

import functools
import importlib.util
import os

import torch
from torch import Tensor


def enabled(tensor: Tensor) -> bool:
    """Say whether kernels work on this tensor: on CUDA, with Triton there, unless DECATHLON_KERNELS=0."""
    return tensor.is_cuda and os.environ.get("DECATHLON_KERNELS") != "0" and _has_triton()


def differentiated(*tensors: Tensor | None) -> bool:
    """Say whether gradients of any of the tensors are recorded: what has no backward must then leave the work."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
