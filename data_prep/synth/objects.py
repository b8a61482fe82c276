"""Toys and scenes: simple shapes, one small among clutter, or several in an arrangement."""

import math
from collections.abc import Callable

import numpy as np

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import SIDE, Colour, Dice, Plane
from decathlon.data_prep.synth.shapes import Frame, box, disc, ellipse, polygon, regular, ring, stroke

_STAR = tuple(
    (radius * math.sin(math.pi * number / 5), -radius * math.cos(math.pi * number / 5))
    for number, radius in enumerate((1.15, 0.5) * 5)
)
_CROSS = ((0.0, 0.9), (0.0, -0.9))
_BAR = ((0.9, 0.0), (-0.9, 0.0))


def toy(dice: Dice, number: int) -> Pixels:
    """Draw one small toy in its colours on a littered carpet.

    Varies: position, size, direction, colours, light, litter of sticks, blur.
    """
    canvas = Canvas(SIDE, SIDE, dice.colour(0.1, 0.5))
    canvas.drift(dice, dice.colour(0.1, 0.5), 5)
    scene = canvas.frame
    for _ in range(3):
        seat = scene.moved(dice.between(0, SIDE), dice.between(0, SIDE), dice.between(2, 6), dice.near(0, 3))
        canvas.paint(seat, box(seat, dice.between(0.5, 3), 0.6), dice.colour())
    seat = scene.moved(
        36 + dice.near(0, 11), 36 + dice.near(0, 11), dice.between(12, 19), dice.near(0, 0.6),
        dice.between(0.8, 1.2),
    )  # fmt: skip
    shape = list(TOYS.values())[number](seat)
    canvas.paint(seat, shape, dice.colour(0.55, 0.95))
    canvas.light(dice, 0.6, 1.2)
    canvas.blur(dice.below(4))
    return canvas.develop(dice, dice.between(0.02, 0.06))


def scene(dice: Dice, number: int) -> Pixels:
    """Draw one of four shapes in one of four arrangements before a horizon.

    Varies: place, size and turn of the whole and of every shape, colours, horizon, light, fog, blur, aspect ratio.
    """
    height, width = dice.size(110)
    canvas = Canvas(height, width, dice.colour(0.1, 0.5))
    canvas.drift(dice, dice.colour(0.1, 0.5), 4)
    picture = canvas.frame
    land = picture.moved(width / 2, height * dice.between(0.5, 1.0) + height, 1, dice.near(0, 0.2))
    canvas.paint(land, box(land, 300, height), dice.colour(0.1, 0.5))
    group = picture.moved(
        width / 2 + dice.near(0, 6), height / 2 + dice.near(0, 6), dice.between(19, 26), dice.near(0, 0.3)
    )
    shape = list(SHAPES.values())[number % len(SHAPES)]
    colour = dice.colour(0.6, 0.95)
    for x, y, size in list(ARRANGEMENTS.values())[number // len(SHAPES)]:
        jitter = [dice.near(0, 0.1) for _ in range(2)]
        seat = group.moved(x + jitter[0], y + jitter[1], size * dice.between(0.85, 1.15), dice.near(0, 0.35))
        canvas.paint(seat, shape(seat), _near(dice, colour))
    canvas.light(dice, 0.6, 1.2)
    canvas.fog(dice, 0.2)
    canvas.blur(dice.below(3))
    return canvas.develop(dice, dice.between(0.02, 0.06))


def _near(dice: Dice, colour: Colour) -> Colour:
    red, green, blue = (value + dice.near(0, 0.12) for value in colour)
    return red, green, blue


def _square(seat: Frame) -> Plane:
    return box(seat, 0.85, 0.85)


def _triangle(seat: Frame) -> Plane:
    return regular(seat, 3, 1.25)


def _cross(seat: Frame) -> Plane:
    return np.minimum(stroke(seat, _CROSS, 0.3), stroke(seat, _BAR, 0.3))


def _key(seat: Frame) -> Plane:
    return np.minimum(ring(disc(seat.moved(0, -0.5), 0.4), 0.17), stroke(seat, ((0, -0.1), (0, 1), (0.4, 1)), 0.17))


def _moon(seat: Frame) -> Plane:
    return np.maximum(disc(seat), -disc(seat.moved(0.45, 0), 0.8))


def _mug(seat: Frame) -> Plane:
    return np.minimum(box(seat.moved(-0.2, 0), 0.6, 0.85), ring(disc(seat.moved(0.45, 0), 0.42), 0.13))


def _hammer(seat: Frame) -> Plane:
    return np.minimum(box(seat.moved(0, -0.7), 0.75, 0.3), box(seat.moved(0, 0.2), 0.17, 0.9))


def _fish(seat: Frame) -> Plane:
    return np.minimum(ellipse(seat, 0.9, 0.5), polygon(seat, ((0.6, 0.0), (1.3, -0.5), (1.3, 0.5))))


def _star(seat: Frame) -> Plane:
    return polygon(seat, _STAR)


def _hoop(seat: Frame) -> Plane:
    return ring(disc(seat, 0.85), 0.2)


TOYS: dict[str, Callable[[Frame], Plane]] = {
    "ball": disc,
    "block": _square,
    "cross": _cross,
    "fish": _fish,
    "hammer": _hammer,
    "hoop": _hoop,
    "key": _key,
    "moon": _moon,
    "mug": _mug,
    "star": _star,
}
SHAPES: dict[str, Callable[[Frame], Plane]] = {
    "disc": disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
ARRANGEMENTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "lone": ((0.0, 0.0, 0.75),),
    "twin": ((-0.6, 0.0, 0.45), (0.6, 0.0, 0.45)),
    "row": ((-0.95, 0.0, 0.37), (0.0, 0.0, 0.37), (0.95, 0.0, 0.37)),
    "heap": ((0.0, -0.5, 0.4), (-0.55, 0.45, 0.4), (0.55, 0.45, 0.4)),
}
