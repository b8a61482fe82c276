"""Which machine and which versions a measurement was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import timm
import torch

from decathlon import __version__


def machine() -> dict[str, str]:
    """Return processor, cores, accelerator and versions, as they belong beside every number."""
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": f"{len(os.sched_getaffinity(0))} cores of {_processor()}",
        "instructions": torch.backends.cpu.get_cpu_capability() + _bf16(),
        "accelerator": accelerator,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "decathlon": __version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _bf16() -> str:
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    return "".join(f", {word}" for word in ("avx512_bf16", "amx_bf16") if word in words)
