"""The device and the precision that a run computes in, chosen by what the hardware can do."""

import contextlib
import platform
import re
from typing import Literal

import torch

from decathlon import __version__
from decathlon.errors import UsageError


def find_device(name: str | None) -> torch.device:
    """Return the named device, by default a GPU if there is one; raises UsageError for a device that is missing."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name, re.ASCII):
        raise UsageError(f"unknown device '{name}'. Use cpu, cuda or cuda:1.")
    if name == "cpu":
        return torch.device(name)
    if not torch.cuda.is_available():
        raise UsageError("no CUDA device is available. Leave out --device or use --device cpu.")
    count, number = torch.cuda.device_count(), int(name.partition(":")[2] or 0)
    if number >= count:
        raise UsageError(f"there is no {name}. This machine has cuda:0 to cuda:{count - 1}.")
    return torch.device("cuda", number) if ":" in name else torch.device(name)


def use_bf16(precision: Literal["auto", "fp32", "bf16"], device: torch.device) -> bool:
    """Return whether to compute in bf16; `auto` does where the hardware has instructions for it.

    Without AVX512-BF16 or AMX a CPU emulates bf16 and gets slower. With AVX512-BF16 alone a training step ran
    1.6 to 1.9 times as fast as fp32 (wrn-16-2 at 32 pixels, wrn-28-4 at 64, torch 2.15, one thread).
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())  # AMX implies it


def home_of(size: int, device: torch.device) -> torch.device:
    """Return where to keep `size` bytes of pixels that a device reads: on it, or in host memory.

    Half of a GPU stays free for networks and activations; how much they need is not measured. Memory that torch has
    reserved but does not use counts as free.
    """
    if device.type != "cuda":
        return device
    free, total = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return device if size <= free + idle - total / 2 else torch.device("cpu")


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Return the context that forward passes run in."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


def asynchronous(device: torch.device) -> bool:
    """Return whether a device works on after a call returns, so that reading a number from it means waiting."""
    return device.type == "cuda"


def versions() -> dict[str, str]:
    """Return the versions that a run is computed with, by name."""
    import timm  # on demand: it takes a second

    return {
        "decathlon": __version__, "torch": torch.__version__, "timm": timm.__version__,
        "python": platform.python_version(), "processor": torch.backends.cpu.get_cpu_capability(),
    }  # fmt: skip
