"""What may change the last bits of a sum: releases, and the instructions the processor has."""

from __future__ import annotations

import platform

import timm
import torch

from decathlon import __version__


def versions() -> dict[str, str]:
    """Return the versions that a run is computed with, by name."""
    return {
        "decathlon": __version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "python": platform.python_version(),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }
