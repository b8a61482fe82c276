"""What a person is told when a signal ended training: one sentence with the command that goes on."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from decathlon.errors import Interrupted, Terminated
from decathlon.group import SEEDS
from decathlon.signals import terminable


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Raise Interrupted for Ctrl-C and Terminated for SIGTERM; the block trains the run or the group in `out`."""
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        raise Interrupted(_advice(out)) from None
    except SystemExit:
        raise Terminated(_advice(out)) from None


def _advice(out: Path) -> str:
    if not any((out / name).is_file() for name in ("run.json", SEEDS)):
        return "interrupted before training began, nothing was to save; give the same command again."
    command = shlex.join(["decathlon", "train", "--resume", "-o", str(out)])
    if not any(path.name != "start.safetensors" for path in out.glob("**/*.safetensors")):
        return f"interrupted before the first step, nothing was to save; begin with: {command}"
    return f"interrupted, go on with: {command}"  # a path may be quoted: no quotes around, nothing after it
