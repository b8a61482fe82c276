"""Shapes as signed distances, negative inside, seen from a frame that moves, turns and stretches.

A distance is in units of the frame's size; `Frame.cover` turns it into a mask with an edge of one pixel, which is
what makes small shapes smooth without drawing them larger first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decathlon.data_prep.synth.dice import Plane

Point = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Pixel positions seen from an object: `x` to its right, `y` down, in units of `unit` pixels."""

    x: Plane
    y: Plane
    unit: float

    def moved(self, x: float, y: float, size: float = 1.0, angle: float = 0.0, stretch: float = 1.0) -> Frame:
        """Return a frame at (x, y) of this one, `size` units large, turned by `angle` radians.

        `stretch` makes what is drawn in it that much wider.
        """
        cosine, sine = math.cos(angle) / size, math.sin(angle) / size
        right, down = self.x - x, self.y - y
        along = right * (cosine / stretch) + down * (sine / stretch)
        across = down * cosine - right * sine
        return Frame(along, across, self.unit * size)

    def cover(self, distance: Plane, soft: float = 1.0) -> Plane:
        """Return the mask, 0..1, of a shape given by its distance; its edge is `soft` pixels wide."""
        mask: Plane = np.clip(0.5 - distance * (self.unit / soft), 0, 1)
        return mask


@functools.lru_cache(maxsize=256)
def whole(height: int, width: int) -> Frame:
    """Return the frame of an image: x and y of every pixel's middle, from the upper left corner."""
    rows = np.arange(height, dtype=np.float32) + 0.5
    columns = np.arange(width, dtype=np.float32) + 0.5
    x, y = np.meshgrid(columns, rows)
    x.flags.writeable = y.flags.writeable = False
    return Frame(x, y, unit=1.0)


def disc(frame: Frame, radius: float = 1.0) -> Plane:
    """Return the distance to a disc around the frame's origin."""
    return np.sqrt(frame.x * frame.x + frame.y * frame.y) - radius


def ellipse(frame: Frame, half_width: float, half_height: float) -> Plane:
    """Return about the distance to an ellipse around the origin: exact on its edge."""
    x, y = frame.x / half_width, frame.y / half_height
    distance: Plane = (np.sqrt(x * x + y * y) - 1) * min(half_width, half_height)
    return distance


def box(frame: Frame, half_width: float, half_height: float) -> Plane:
    """Return the distance to an upright rectangle around the origin."""
    distance: Plane = np.maximum(np.abs(frame.x) - half_width, np.abs(frame.y) - half_height)
    return distance


def regular(frame: Frame, sides: int, radius: float = 1.0) -> Plane:
    """Return the distance to a regular polygon with a corner at the top."""
    apothem = radius * math.cos(math.pi / sides)
    distance: Plane | None = None
    for number in range(sides):
        angle = (2 * number + 1) * math.pi / sides - math.pi / 2
        edge = frame.x * math.cos(angle) + frame.y * math.sin(angle) - apothem
        distance = edge if distance is None else np.maximum(distance, edge)
    assert distance is not None
    return distance


def stroke(frame: Frame, points: Sequence[Point], radius: float) -> Plane:
    """Return the distance to a line through `points`, drawn with a round pen of that radius."""
    pairs = zip(points, points[1:], strict=False)
    return _nearest([_segment(frame, start, end) for start, end in pairs]) - radius


def polygon(frame: Frame, points: Sequence[Point]) -> Plane:
    """Return the distance to a closed polygon, convex or not."""
    edges = list(zip(points, [*points[1:], points[0]], strict=True))
    inside = np.zeros(frame.x.shape, dtype=bool)
    for (left, top), (right, bottom) in edges:
        if top == bottom:
            continue
        between = (frame.y >= top) != (frame.y >= bottom)
        edge = (frame.y - top) * ((right - left) / (bottom - top)) + left
        inside ^= between & (frame.x < edge)
    distance = _nearest([_segment(frame, start, end) for start, end in edges])
    signed: Plane = np.where(inside, -distance, distance)
    return signed


def ring(distance: Plane, radius: float) -> Plane:
    """Return the distance to the outline of a shape, drawn with a pen of that radius."""
    outline: Plane = np.abs(distance) - radius
    return outline


def _segment(frame: Frame, start: Point, end: Point) -> Plane:
    right, down = end[0] - start[0], end[1] - start[1]
    length = max(right * right + down * down, 1e-9)
    x, y = frame.x - (start[0]), frame.y - (start[1])
    along: Plane = np.clip(x * (right / length) + y * (down / length), 0, 1)
    x, y = x - along * right, y - along * down
    squared: Plane = x * x + y * y
    return squared


def _nearest(squares: Sequence[Plane]) -> Plane:
    nearest = squares[0]
    for square in squares[1:]:
        nearest = np.minimum(nearest, square)
    return np.sqrt(nearest)
