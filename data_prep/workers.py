"""Work spread over processes: results in order, only a few in flight, nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from decathlon.errors import DecathlonError

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 3  # items in flight a worker: enough to keep it busy, few enough to bound memory


def ordered(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` for every item in order, from `workers` processes, or in this one when it is 1.

    Close the iterator to stop early. Raises what `function` raises, and DecathlonError when a worker dies.
    """
    if workers == 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start)
    try:
        rest = iter(items)
        waiting: deque[Future[Result]] = deque()
        for item in islice(rest, workers * _AHEAD):
            waiting.append(pool.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield result
    except BrokenProcessPool:
        raise DecathlonError("a worker process died, perhaps for lack of memory: try fewer --workers.") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End with the parent: after a kill it can no longer tell its workers to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
