"""Commands that end by SIGKILL at a moment of one's choice.

A command runs in a process of its own, forked from a server that has imported torch already: it starts in
milliseconds, not in seconds. It leads a process group, and the whole group is killed, workers too.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.cli.main import main

Hook = Callable[[], None]  # what a child does before the command; to be pickled, so of a module's own functions
KILLED = -signal.SIGKILL
LONGEST = 120  # seconds a child may take

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "decathlon.cli.train",
        "decathlon.config.recipe_files",
        "decathlon.experiments.seeds",
        "decathlon.reports.training_table",
        "decathlon.experiments.launch",
        "decathlon.cli.data.add",
        "decathlon.cli.data.prepare",
        "decathlon.data_prep.custom.add",
        "decathlon.data_prep.challenge.prepare",
        "pytest",
    ]
)


class Child:
    """A process that does `decathlon WORDS`, after its hooks; what it says goes to the file `log`."""

    def __init__(self, words: Sequence[object], log: Path, hooks: Sequence[Hook] = ()) -> None:
        self.log = log
        self._process = _SERVER.Process(target=_work, args=([str(word) for word in words], log, tuple(hooks)))
        self._process.start()
        atexit.register(self.kill)  # a failed test must not leave pytest waiting for it

    @property
    def group(self) -> int:
        """The number of its process group, which is its own too."""
        assert self._process.pid is not None
        return self._process.pid

    def end(self, moment: float | None = None) -> int:
        """Return its exit code, or `KILLED` where that took longer than `moment` seconds or it killed itself."""
        self._process.join(LONGEST if moment is None else moment)
        running = self._process.is_alive()
        self.kill()
        assert moment is not None or not running, f"not at its end after {LONGEST} s: {self.said()}"
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self, alone: bool = False) -> None:
        """Kill it and all processes it started, or with `alone` not those, and return when it is gone."""
        if self._process.is_alive():
            self._process.kill()
        if not alone:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGKILL)
        self._process.join()

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Return when something became true; it must do so while the process is alive."""
        while not condition():
            assert self._process.is_alive(), self.said()
            time.sleep(0.01)

    def said(self) -> str:
        """Return what it wrote to standard output and standard error."""
        return self.log.read_text() if self.log.exists() else ""


def _work(words: list[str], log: Path, hooks: Sequence[Hook]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for hook in hooks:
        hook()
    sys.argv = ["decathlon", *words]
    main()


def members(group: int) -> list[int]:
    """Return the processes of a group that are alive."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc to see processes by")
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":  # those ended, and nobody asked after them
                found.append(int(stat.parent.name))
    return found


def mean_std(count: int, seed: int) -> list[float]:
    """Return numbers in 0..1, one in every `count`-th part, in an order of the seed."""
    choose = random.Random(seed)
    moments = [(part + choose.random()) / count for part in range(count)]
    choose.shuffle(moments)
    return moments
