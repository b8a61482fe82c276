"""Commands of the toolkit as child processes, with a log each, so that several can run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from decathlon.errors import DecathlonError
from decathlon.runs.record import read_status
from decathlon.runs.seed_group import find_group


def decathlon(arguments: list[str], log: Path) -> tuple[bool, float]:
    """Run the command, appending to a log what it prints; return whether it failed, and its processor seconds."""
    return timed([sys.executable, "-m", "decathlon.cli.main", *arguments], log)


def timed(command: list[str], log: Path) -> tuple[bool, float]:
    """Run any command as `decathlon` runs that of the toolkit."""
    with log.open("ab") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode != 0, used.ru_utime + used.ru_stime


def train(folder: Path, arguments: list[str], log: Path) -> float:
    """Train a run or a group of runs, or take it up where it stopped; return the processor seconds of this call.

    One that diverges, now or before, is left at that; raises DecathlonError where it fails in another way.
    """
    before = _statuses(folder)
    if "diverged" in before or before == {"done"}:
        return 0.0
    begun = find_group(folder) is not None or before != {None}
    more = ["--resume"] if begun else arguments
    failed, seconds = decathlon(["train", "-o", str(folder), *more], log)
    if failed and "diverged" not in _statuses(folder):
        raise DecathlonError(f"{folder.name} failed. See {log}.")
    return seconds


def why_diverged(folder: Path, log: Path) -> str | None:
    """Return what a run or a group that diverged said, None where none did."""
    if "diverged" not in _statuses(folder):
        return None
    errors = [line for line in log.read_text().splitlines() if line.startswith("Error: ")]
    return errors[-1].removeprefix("Error: ")


def _statuses(folder: Path) -> set[str | None]:
    group = find_group(folder)
    return {read_status(run) for run in (group.runs.values() if group else [folder])}
