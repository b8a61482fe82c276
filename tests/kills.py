"""Commands that end by SIGKILL at a moment of one's choice, and what is left of them.

A command runs in a process of its own, forked from a server that has imported torch already: it starts in
milliseconds, not in seconds. It leads a process group, and the whole group is killed, workers too.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

Hook = Callable[[], None]  # what a child does before the command; to be pickled, so of a module's own functions
KILLED = -signal.SIGKILL
LONGEST = 120  # seconds a child may take

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["decathlon.cli.train", "decathlon.train", "decathlon.summary", "decathlon.interruption", "decathlon.repeat",
     "decathlon.recipe_file", "decathlon.cli.data.prepare", "decathlon.cli.data.add", "decathlon.data_prep.prepare",
     "decathlon.data_prep.own.add", "pytest"]
)  # fmt: skip


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code (`KILLED` where it was), what it said, and after how many seconds."""

    code: int
    said: str
    seconds: float
    group: int

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it, rather than its own end."""
        return self.code == KILLED


def run(
    words: Sequence[object], log: Path, hooks: Sequence[Hook] = (), moment: float | None = None, alone: bool = False
) -> End:
    """Run `decathlon WORDS` in a fresh process; kill it after `moment` seconds, and with it its group.

    With `alone` only the process itself is killed, and its workers have to notice.
    """
    process = _SERVER.Process(target=_child, args=([str(word) for word in words], log, tuple(hooks)))
    began = time.monotonic()
    process.start()
    assert process.pid is not None
    process.join(LONGEST if moment is None else moment)
    assert moment is not None or not process.is_alive(), f"after {LONGEST} s still at {words}"
    if process.is_alive():
        _kill(process.pid, alone)
    process.join()
    seconds = time.monotonic() - began
    if not alone:
        _kill(process.pid, alone)  # one that killed itself at a point left workers
    assert process.exitcode is not None
    return End(process.exitcode, log.read_text() if log.exists() else "", seconds, process.pid)


def _kill(process: int, alone: bool) -> None:
    if not alone:
        try:
            os.killpg(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # all are gone, or it did not come to lead a group yet
            pass
        else:
            return
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _child(words: list[str], log: Path, hooks: Sequence[Hook]) -> None:
    import torch

    from decathlon.cli.main import main

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for hook in hooks:
        hook()
    sys.argv = ["decathlon", *words]
    main()


def members(group: int) -> list[int]:
    """Return the processes of a group that are alive; those that ended and nobody asked after are not."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc to see processes by")
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it ended just now
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def spread(count: int, seed: int) -> list[float]:
    """Return numbers in 0..1, one of every `count`-th part, in an order of the seed."""
    import random

    choose = random.Random(seed)
    moments = [(part + choose.random()) / count for part in range(count)]
    choose.shuffle(moments)
    return moments
