"""Random draws of the synthetic benchmark, and its colours.

Only the streams of `Generator.random` and `Generator.integers` are used: they are stable across NumPy versions.
"""

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Always float32: NumPy keeps it beside Python's numbers. Its stubs do not know that, hence the wider type.
Plane = npt.NDArray[np.floating]
Colour = tuple[float, float, float]
SIDE = 72


class Dice:
    """A stream of draws that depends on nothing but its key: a sequence of integers, none negative."""

    def __init__(self, key: Sequence[int]) -> None:
        self._rng = np.random.Generator(np.random.PCG64(list(key)))

    def between(self, low: float, high: float) -> float:
        """Return a number drawn evenly from `low` to `high`."""
        return low + (high - low) * float(self._rng.random())

    def near(self, value: float, distance: float) -> float:
        """Return a number drawn evenly from around `value`."""
        return self.between(value - distance, value + distance)

    def below(self, count: int) -> int:
        """Return an integer drawn evenly from 0 to `count` - 1."""
        return int(self._rng.integers(0, count))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return float(self._rng.random()) < probability

    def order(self, count: int) -> list[int]:
        """Return the numbers from 0 to `count` - 1 in mixed order."""
        return [int(place) for place in np.argsort(self._rng.random(count), kind="stable")]

    def size(self, longest: int) -> tuple[int, int]:
        """Return height and width: one is 72, the other at most `longest`."""
        length = SIDE + self.below(longest - SIDE + 1)
        return (length, SIDE) if self.chance(0.5) else (SIDE, length)

    def colour(self, low: float = 0.15, high: float = 0.95, vivid: float = 0.9) -> Colour:
        """Return a colour of any hue, of a saturation of 0.1..`vivid` and a value of `low`..`high`."""
        return tint(self.between(0, 1), self.between(0.1, vivid), self.between(low, high))

    def field(self, height: int, width: int, cells: int) -> Plane:
        """Return smooth noise in 0..1 whose hills are about 1/`cells` of the image wide."""
        knots = self._rng.random((cells + 2, cells + 2)).astype(np.float32)
        row, down = _steps(height, cells)
        column, along = _steps(width, cells)
        rows = knots[row] + (knots[row + 1] - knots[row]) * down[:, None]
        smooth: Plane = rows[:, column] + (rows[:, column + 1] - rows[:, column]) * along[None, :]
        return smooth

    def grain(self, height: int, width: int) -> Plane:
        """Return noise in -1..1, most often near 0, drawn independently for every pixel."""
        draws = self._rng.integers(0, 256, size=(2, height, width), dtype=np.uint8).astype(np.float32)
        noise: Plane = (draws[0] + draws[1] - 255) * (1 / 255)
        return noise


def tint(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour, 0..1, of a hue on the circle 0..1, taken modulo 1."""
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def gray(value: float) -> Colour:
    """Return a colour with three equal channels."""
    return value, value, value


def _steps(length: int, cells: int) -> tuple[npt.NDArray[np.int64], Plane]:
    place = np.arange(length, dtype=np.float32) * (cells / length)
    whole = place.astype(np.int64)
    rest = place - whole.astype(np.float32)
    return whole, rest * rest * (3 - 2 * rest)
