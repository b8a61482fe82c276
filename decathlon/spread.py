"""Mean and standard deviation of what repeated runs reached."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The mean over runs and the sample standard deviation (n - 1); None where there is none."""

    mean: float | None
    std: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return both as plain JSON."""
        return {"mean": self.mean, "std": self.std}


def spread(values: Iterable[float | None]) -> Spread:
    """Return mean and deviation; one value has no deviation, and a value that is None leaves neither."""
    given = list(values)
    known = [value for value in given if value is not None]
    if len(known) < len(given):
        return Spread(None, None)
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)
