"""When a kernel runs: on CUDA, where Triton is installed, unless the user turns kernels off.

Nothing calls the kernels yet: one is wired in only where it beats its reference under `torch.compile` on a GPU,
and that has not been measured. `python -m benchmarks.kernels` measures it; where a kernel loses, its reference
stays. The device of a tensor decides (`enabled`); importing any file here needs no Triton and loads none.
"""

import functools
import importlib.util
import os

import torch
from torch import Tensor


def enabled(tensor: Tensor) -> bool:
    """Return whether to use kernels for a tensor: on CUDA with Triton, unless DECATHLON_KERNELS=0."""
    return tensor.is_cuda and os.environ.get("DECATHLON_KERNELS") != "0" and _has_triton()


def differentiated(*tensors: Tensor | None) -> bool:
    """Return whether gradients of any tensor are recorded, which rules out a kernel without a backward."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
