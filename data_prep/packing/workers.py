"""Map a function over worker processes: results in order, few items in flight, nothing left running."""

import multiprocessing
import os
import re
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TypeVar

from decathlon.errors import ResourceError
from decathlon.system.resources import memory_for

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 3  # items in flight per worker: enough to keep it busy, few enough to bound memory


def ordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item in order, from `workers` processes, or in this one when it is 1.

    Close the iterator to stop early. Raises what `function` raises, and ResourceError if a worker dies, cannot be
    started, or runs out of memory.
    """
    with memory_for("", "try fewer --workers, or a smaller --side"):
        yield from map(function, items) if workers == 1 else _in_processes(function, items, workers)


def _in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)
    try:
        rest = iter(items)
        waiting: deque[Future[Result]] = deque()
        for item in islice(rest, workers * _AHEAD):
            waiting.append(_submit(pool, function, item))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(_submit(pool, function, item) for item in islice(rest, 1))
            yield result
    except BrokenProcessPool:
        raise ResourceError("a worker process died, perhaps out of memory. Try fewer --workers.") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    try:  # this starts the workers, and a thread to talk to them
        return pool.submit(function, item)
    except BrokenProcessPool:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(f"worker processes cannot be started ({reason}). Try --workers 1.") from None


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """Exit with the parent: once killed, it can no longer stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def own_peak() -> int:
    """Return the peak memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _peak(os.getpid()) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def workers_peak() -> int:
    """Return the sum of the peak memory of each worker process in bytes; 0 if the system does not report it.

    `getrusage` would report too much: a new process inherits its parent's peak.
    """
    return sum(_peak(child.pid) for child in multiprocessing.active_children() if child.pid)


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
