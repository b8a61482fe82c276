"""Damaged files used in a process of their own, which may take only so much time and memory, and say nothing."""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from decathlon.data_prep.packing.workers import own_peak
from decathlon.errors import DecathlonError

Case = TypeVar("Case")
SECONDS = 10  # of processor time: the system ends a process that is busy with one case for longer
WAIT = 60  # seconds after which it ends one that waits
MEMORY = 1 << 30  # bytes of address space beyond those that the process is born with
REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What came of the cases: `words` in order, processor seconds of the `slowest`, bytes of memory they added."""

    words: list[str]
    slowest: float
    memory: int

    @property
    def counts(self) -> Counter[str]:
        """How often each word was said."""
        return Counter(self.words)


def judged(use: Callable[[], str], *, longest: int = 700) -> str:
    """Return what `use` says, or `refused` where it ends with an error of the project in one sentence.

    Below the sentence may stand a list of what is wrong.
    """
    try:
        return use()
    except DecathlonError as error:
        said = str(error)
        whole = said.partition("\n")[0].endswith((".", "?")) and len(said) < longest
        assert error.exit_code in (2, 3, 4) and whole, said
        return REFUSED


def forked(cases: Iterable[Case], use: Callable[[Case], str], memory: int = MEMORY) -> Outcome:
    """Use every case in a child process; fail where it crashes, hangs, wants too much memory or writes a line."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            _child(list(cases), use, memory, told.fileno(), said.fileno())
        _, status = os.waitpid(child, 0)
        told.seek(0)
        said.seek(0)
        rows, lines = [json.loads(line) for line in told], said.read()
    assert status == 0 and not lines, (os.waitstatus_to_exitcode(status), f"in case {len(rows)}", lines[-1500:])
    came = Outcome([row[0] for row in rows], max(row[1] for row in rows), max(row[2] for row in rows))
    print(
        f"{len(rows)} cases: {dict(came.counts)}, {came.slowest:.2f} s, {came.memory / 2**20:.0f} MiB"
    )  # pytest -rP
    return came


def _child(cases: list[Case], use: Callable[[Case], str], memory: int, told: int, said: int) -> None:
    """Write a row for each case to the file `told`, and whatever else is written to `said`; never return."""
    code = 1
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # deadly inside a library, too
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        before = own_peak()
        for case in cases:
            signal.alarm(WAIT)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            began = time.process_time()  # whatever else the machine is doing
            word = use(case)
            row = [word, time.process_time() - began, own_peak() - before]
            os.write(told, f"{json.dumps(row)}\n".encode())
        code = 0
    except BaseException:
        os.write(said, traceback.format_exc().encode())
    finally:
        os._exit(code)
