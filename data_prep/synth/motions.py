"""Motions: what moved, summed over time as a dynamic image, gray where nothing did."""

import math
from collections.abc import Callable

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import SIDE, Dice, Plane, gray
from decathlon.data_prep.synth.shapes import Frame, Point, box, disc

Path = Callable[[float], tuple[Point, ...]]
_MOMENTS = 14
_TURN = 2 * math.pi


def motion(dice: Dice, number: int) -> Pixels:
    """Draw the trail of the motion `number`: early moments dark, late ones bright.

    Varies: direction, mirror, place, size and shape of what moves, its contrast, a second trail of a wanderer,
    ripples of the camera, noise. A motion and its mirror image are the same class.
    """
    canvas = Canvas(SIDE, SIDE, gray(0.5))
    canvas.add(dice.field(SIDE, SIDE, 9) - dice.field(SIDE, SIDE, 9), dice.between(0.02, 0.12))
    scene = canvas.frame.moved(
        36 + dice.near(0, 8), 36 + dice.near(0, 8), dice.between(15, 25), dice.near(0, 0.5),
        dice.between(0.8, 1.2) * (-1 if dice.chance(0.5) else 1),
    )  # fmt: skip
    path, phase = list(MOTIONS.values())[number], dice.near(0, 0.06)
    _trail(dice, canvas, scene, lambda time: path(time + phase))
    if dice.chance(0.7):
        _wanderer(dice, canvas, scene)
    return canvas.develop(dice, dice.between(0.02, 0.06))


def _trail(dice: Dice, canvas: Canvas, scene: Frame, path: Path) -> None:
    size, strength = dice.between(0.16, 0.34), dice.between(0.1, 0.26)
    shape = disc if dice.chance(0.5) else _square
    for moment in range(_MOMENTS):
        time = moment / (_MOMENTS - 1)
        for x, y in path(time):
            seat = scene.moved(x, y, size)
            canvas.add(seat.cover(shape(seat), 1.5), (2 * time - 1) * strength)


def _wanderer(dice: Dice, canvas: Canvas, scene: Frame) -> None:
    left, top, right, down = (dice.near(0, 1.5) for _ in range(4))
    _trail(dice, canvas, scene, lambda time: ((left + time * right, top + time * down),))


def _square(frame: Frame) -> Plane:
    return box(frame, 0.9, 0.9)


def _swing(time: float) -> float:
    return abs((2 * time) % 2 - 1)


MOTIONS: dict[str, Path] = {
    "dash": lambda t: ((3 * t - 1.5, 0.0),),
    "creep": lambda t: ((1.4 * t - 0.7, 0.0),),
    "fall": lambda t: ((0.8 * t - 0.4, 3 * t * t - 1.5),),
    "hop": lambda t: ((2.6 * t - 1.3, 1 - 1.8 * math.sin(math.pi * t)),),
    "bounce": lambda t: ((2.6 * t - 1.3, 0.9 - 1.6 * abs(math.cos(2.5 * math.pi * t))),),
    "sway": lambda t: ((2.4 * _swing(1.5 * t) - 1.2, 0.0),),
    "circle": lambda t: ((math.cos(_TURN * t), math.sin(_TURN * t)),),
    "spiral": lambda t: ((1.4 * t * math.cos(1.6 * _TURN * t), 1.4 * t * math.sin(1.6 * _TURN * t)),),
    "orbit": lambda t: tuple((s * math.cos(math.pi * t), s * math.sin(math.pi * t)) for s in (-1, 1)),
    "meet": lambda t: ((1.5 - 1.2 * t, 0.0), (1.2 * t - 1.5, 0.0)),
    "part": lambda t: ((0.3 + 1.2 * t, 0.0), (-0.3 - 1.2 * t, 0.0)),
    "cross": lambda t: ((2.6 * t - 1.3, 2.6 * t - 1.3), (2.6 * t - 1.3, 1.3 - 2.6 * t)),
}
