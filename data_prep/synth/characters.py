"""Glyphs and digits: the domains made of pen strokes."""

import functools
import math

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import SIDE, Colour, Dice, gray
from decathlon.data_prep.synth.shapes import Frame, Point, stroke

Line = tuple[Point, ...]
GLYPHS = 40
_ALPHABET = 9_176  # the alphabet is part of the benchmark: the seed changes the hand, never the letters

_DIGITS: tuple[tuple[Line, ...], ...] = (
    (((0, -1), (0.5, -0.7), (0.5, 0.7), (0, 1), (-0.5, 0.7), (-0.5, -0.7), (0, -1)),),
    (((-0.3, -0.65), (0.1, -1), (0.1, 1)),),
    (((-0.5, -0.6), (-0.2, -0.98), (0.3, -0.95), (0.5, -0.5), (0.2, 0.1), (-0.55, 1), (0.6, 1)),),
    (((-0.5, -0.8), (0, -1), (0.5, -0.7), (0.4, -0.2), (-0.1, 0), (0.5, 0.25), (0.5, 0.75), (0, 1), (-0.55, 0.8)),),
    (((0.3, 1), (0.3, -1), (-0.6, 0.4), (0.6, 0.4)),),
    (((0.5, -1), (-0.4, -1), (-0.5, -0.1), (0.1, -0.25), (0.55, 0.15), (0.5, 0.7), (0, 1), (-0.55, 0.8)),),
    (((0.4, -0.9), (-0.2, -0.7), (-0.5, 0.2), (-0.4, 0.8), (0, 1), (0.5, 0.75), (0.5, 0.2), (0, 0), (-0.5, 0.3)),),
    (((-0.55, -1), (0.55, -1), (-0.1, 1)),),
    (
        ((0, 0), (-0.45, -0.3), (-0.4, -0.8), (0, -1), (0.4, -0.8), (0.45, -0.3), (0, 0)),
        ((0, 0), (0.52, 0.35), (0.45, 0.8), (0, 1), (-0.45, 0.8), (-0.52, 0.35), (0, 0)),
    ),
    (((0.5, -0.3), (0, 0), (-0.5, -0.25), (-0.45, -0.8), (0, -1), (0.45, -0.8), (0.5, -0.2), (0, 1)),),
)  # fmt: skip


def glyph(dice: Dice, number: int) -> Pixels:
    """Draw a letter of an unknown alphabet in white on black.

    Varies: every stroke's points, position, size, slant and width of the pen. Letters come in pairs that differ
    in one stroke of three.
    """
    canvas = Canvas(SIDE, SIDE, gray(dice.between(0.0, 0.06)))
    frame = canvas.frame.moved(
        36 + dice.near(0, 4), 36 + dice.near(0, 4), dice.between(18, 26),
        dice.near(0, 0.3), dice.between(0.75, 1.2),
    )  # fmt: skip
    pen = dice.between(1.1, 2.2) / frame.unit
    for line in _letter(number):
        canvas.paint(frame, stroke(frame, _by_hand(dice, line, 0.17), pen), gray(1.0))
    return canvas.develop(dice, 0.0)


def digit(dice: Dice, number: int) -> Pixels:
    """Draw a house number around the digit `number`.

    Varies: both colours, the ink the lighter, place, size, slant, pen, the digits to its left and right,
    light, fog, blur.
    """
    wall, ink = dice.colour(0.15, 0.5), dice.colour(0.6, 0.95)
    canvas = Canvas(SIDE, SIDE, wall)
    canvas.drift(dice, dice.colour(0.1, 0.6), 2, 0.5)
    scene = canvas.frame.moved(
        36 + dice.near(0, 4), 36 + dice.near(0, 4), dice.between(18, 26),
        dice.near(0, 0.18), dice.between(0.65, 1.05),
    )  # fmt: skip
    pen, gap = dice.between(0.09, 0.2), dice.between(1.5, 1.8)
    for place in (-gap, gap):
        if dice.chance(0.5):
            _write(dice, canvas, scene.moved(place, dice.near(0, 0.1)), dice.below(10), pen, ink)
    _write(dice, canvas, scene, number, pen, ink)
    canvas.light(dice, 0.6, 1.15)
    canvas.fog(dice, 0.25)
    canvas.blur(dice.below(4))
    return canvas.develop(dice, dice.between(0.02, 0.07))


def _write(dice: Dice, canvas: Canvas, frame: Frame, number: int, pen: float, ink: Colour) -> None:
    for line in _DIGITS[number]:
        canvas.paint(frame, stroke(frame, _by_hand(dice, line, 0.07), pen), ink)


def _by_hand(dice: Dice, line: Line, wobble: float) -> Line:
    return tuple((x + dice.between(-wobble, wobble), y + dice.between(-wobble, wobble)) for x, y in line)


@functools.cache
def _letter(number: int) -> tuple[Line, ...]:
    base = Dice([_ALPHABET, number // 2])
    strokes = [_curve(base) for _ in range(3)]
    if number % 2:
        strokes[2] = _curve(base)
    return tuple(strokes)


def _curve(dice: Dice) -> Line:
    (ax, ay), (bx, by), end = (_knot(dice) for _ in range(3))
    while math.dist((ax, ay), end) < 0.9:
        end = _knot(dice)
    cx, cy = end
    steps = (0.0, 0.25, 0.5, 0.75, 1.0) if dice.chance(0.6) else (0.0, 1.0)
    weights = [((1 - t) * (1 - t), 2 * t * (1 - t), t * t) for t in steps]
    return tuple((a * ax + b * bx + c * cx, a * ay + b * by + c * cy) for a, b, c in weights)


def _knot(dice: Dice) -> Point:
    return dice.near(0, 1), dice.near(0, 1)
