"""Shared fixtures: one thread a process, and the outside files that some tests read where they are present."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from tests.packs import write_pack

torch.set_num_threads(1)  # two busy processes with two threads each collapse thirteen-fold on two cores
# in a shell's background SIGINT is ignored, by the processes that tests start too
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"


def outside(variable: str, default: str) -> Path:
    """Return the path a variable names or the default beside the repository; skip the test when it is absent."""
    path = Path(os.environ.get(variable, SHARED / default))
    if not path.exists():
        pytest.skip(f"{variable} is not set and {path.name} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed file of three tiny domains."""
    return write_pack(tmp_path_factory.mktemp("tiny") / "tiny.h5")
