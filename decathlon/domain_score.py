"""What one domain is worth: the points of its error against that of the baseline."""

from __future__ import annotations

from dataclasses import dataclass

MOST_POINTS = 1000.0


@dataclass(frozen=True)
class DomainScore:
    """One domain's accuracy and error, in 0..1, over `images` test images.

    `majority` is the accuracy of always answering the most frequent category; None where nobody counted.
    """

    name: str
    accuracy: float
    error: float
    images: int
    baseline_error: float | None = None
    majority: float | None = None

    @property
    def points(self) -> float | None:
        """The domain's points; None without a baseline, or with one that makes no error."""
        return None if self.baseline_error is None else points(self.error, self.baseline_error)


def points(error: float, baseline_error: float) -> float | None:
    """Return the points of an error in 0..1; None against a baseline without error, where they are undefined."""
    worst = 2 * baseline_error
    if worst == 0:
        return None
    share = max(0.0, worst - error) / worst
    return MOST_POINTS * share * share
