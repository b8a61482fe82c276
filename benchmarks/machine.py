"""The machine, the versions and the command that a measurement was made with."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from pathlib import Path

import timm
import torch

from decathlon import __version__


def machine() -> dict[str, str]:
    """Return processor, cores, accelerator and versions, which belong beside every number."""
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


def command_line(module: str) -> str:
    """Return the command that runs this benchmark with the arguments it has."""
    return shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _bf16() -> str:
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return "".join(f", {flag}" for flag in ("avx512_bf16", "amx_bf16") if flag in flags)
