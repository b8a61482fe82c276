"""How much memory processes held at most, in bytes."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import sys
from pathlib import Path


def own_peak() -> int:
    """Return the most that this process held at a time."""
    return _peak(os.getpid()) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def workers_peak() -> int:
    """Return the sum of what each worker process held at most; 0 where the system does not tell.

    `getrusage` tells too much: a new process is born with its parent's peak.
    """
    return sum(_peak(child.pid) for child in multiprocessing.active_children() if child.pid)


def _peak(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


_UNIT = 1 if sys.platform == "darwin" else 1024
