"""What is told of memory: of this process, and of workers apart from what they inherit."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import multiprocessing, sys
from decathlon.data_prep.packing.workers import ordered, own_peak, workers_peak

def take(megabytes):
    return len(b"x" * (megabytes << 20))

if __name__ == "__main__":
    mine = b"x" * (300 << 20)
    results = ordered(take, [60, 60, 60, 60], 2)
    for _ in range(4):
        next(results)
    print(own_peak() >> 20, workers_peak() >> 20)
    results.close()
    print(workers_peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell of single workers")
def test_workers_are_counted_without_their_parents_peak(tmp_path: object) -> None:
    script = f"{tmp_path}/peaks.py"
    with open(script, "w") as file:
        file.write(CODE)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    (own, workers), (none,) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert 300 < own < 450 and 60 < workers < 300 and none == 0  # at least one of the two held 60 MB
