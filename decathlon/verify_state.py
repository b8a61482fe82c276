"""What an interrupted run goes on from, looked at as going on would look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from decathlon.errors import DecathlonError
from decathlon.runs.checkpoints import Generations
from decathlon.runs.initial_state import read_start
from decathlon.runs.logs import METRICS, read_lines
from decathlon.runs.run_directory import Run
from decathlon.system.checksums import AGAIN


def state_faults(run: Run, asked: dict[str, Any]) -> dict[Path, str]:
    """Return by file what keeps a run that is not done from going on, in a sentence each."""
    faults = {}
    try:
        read_start(run, asked, torch.device("cpu"))
    except DecathlonError as error:
        missing = f"{run.start} is missing: {AGAIN}."
        faults[run.start] = str(error).splitlines()[0] if run.start.exists() else missing
    checkpoints = Generations(run, asked.get("begun"))
    there = [path for path in (run.checkpoint, run.older_checkpoint) if path.exists()]
    for path in there:
        state = checkpoints.read_one(path)
        if isinstance(state, str):
            faults[path] = f"{path} is nothing to go on from, {state}: {AGAIN}."
    if not there and _beyond_first(run):
        faults[run.checkpoint] = (
            f"{run.checkpoint} is missing, and {run.metrics.name} speaks of later epochs than the first: {AGAIN}."
        )
    return faults


def _beyond_first(run: Run) -> bool:
    """Say whether metrics tell of an epoch that comes after a checkpoint; a kill may fall between the two once."""
    if not run.metrics.is_file():
        return False
    try:
        lines = read_lines(run.metrics, METRICS)
    except DecathlonError:  # said of that file already
        return False
    return any(line["epoch"] > 1 for line in lines)
