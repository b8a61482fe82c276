"""Short training runs for tests, and runs that die at a step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from decathlon.files import sha256
from decathlon.job import Job
from decathlon.progress import TrainingProgress
from decathlon.recipe import Recipe
from decathlon.run import Run
from decathlon.train import Request, train

RECIPE = Recipe(epochs=3, batch=8, size=16, lr=0.05, precision="fp32")


def request(data: Path, out: Path, method: str = "bn", **changes: Any) -> Request:
    asked: dict[str, Any] = {"trunk": "wrn-10-1", "recipe": RECIPE} | changes
    return Request(data=data, out=out, method=method, **asked)


def go(*args: Any, **changes: Any) -> Run:
    return train(request(*args, **changes), TrainingProgress())


def digests(run: Run) -> dict[str, str]:
    files = [run.metrics, *sorted(run.folder.glob("**/*.safetensors"))]
    return {str(path.relative_to(run.folder)): sha256(path) for path in files}


@contextlib.contextmanager
def dying_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """Let the machine die when training would take a step, counted from 0 over all jobs and runs of the block."""
    real, taken = Job.advance, iter(range(10**6))

    def dying(job: Job) -> int:
        if next(taken) == step:
            raise OSError("the machine died")
        return real(job)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="died"):
        patched.setattr(Job, "advance", dying)
        yield
