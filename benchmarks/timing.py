"""Interleaved timings: every case takes its turn in every round, so that a slow minute slows them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Case:
    """Work on `images` images per call."""

    images: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Medians over the rounds: images a second of the clock and of processor time."""

    per_second: float
    per_cpu_second: float
    rounds: int
    spread: float  # of the seconds: (largest - smallest) / median


def measure(cases: Mapping[str, Case], rounds: int = 7, seconds: float = 0.5) -> dict[str, Timing]:
    """Time all cases, `rounds` times in turn; in a turn a case is called for about `seconds`."""
    calls = {name: _calls(case, seconds) for name, case in cases.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            taken[name].append(_turn(case, calls[name]))
    return {name: _timing(cases[name].images * calls[name], times) for name, times in taken.items()}


def _calls(case: Case, seconds: float) -> int:
    case.run()  # warm-up: caches, compilation, allocations
    wall, _ = _turn(case, 1)
    return max(1, round(seconds / wall))


def _turn(case: Case, calls: int) -> tuple[float, float]:
    """Return the seconds of clock and processor that some calls take, the accelerator's work included."""
    _wait()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        case.run()
    _wait()
    return time.perf_counter() - wall, time.process_time() - cpu


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _timing(images: int, times: list[tuple[float, float]]) -> Timing:
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    walls = [time for time, _ in times]
    return Timing(images / wall, images / max(cpu, 1e-9), len(times), (max(walls) - min(walls)) / wall)
