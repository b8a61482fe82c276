"""Wagons: railway wagons from the side, about twice as wide as high."""

from dataclasses import dataclass

import numpy as np

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import SIDE, Dice, Plane, tint
from decathlon.data_prep.synth.shapes import Frame, box, disc, ellipse, polygon, ring


@dataclass(frozen=True)
class Build:
    """What the wagons of one kind have in common: the body's form, the roof's, windows or doors, axles."""

    body: str
    roof: str
    openings: int
    axles: int


WAGONS: dict[str, Build] = {
    "boxcar": Build("box", "flat", 1, 2),
    "boxcar/bogie": Build("box", "flat", 1, 4),
    "cabin": Build("box", "peak", 2, 2),
    "caravan": Build("box", "peak", 3, 2),
    "coach": Build("box", "arch", 5, 4),
    "diner": Build("box", "arch", 3, 4),
    "flatcar": Build("low", "none", 0, 4),
    "hopper": Build("funnel", "none", 0, 4),
    "tanker": Build("barrel", "none", 0, 4),
    "tanker/short": Build("barrel", "none", 0, 2),
}


def wagon(dice: Dice, number: int) -> Pixels:
    """Draw a wagon on its rails; its ends matter, so nothing of the image should be cut away.

    Varies: length, paint, sky and embankment, a mast in front, distance, light, fog, blur.
    """
    width = 120 + dice.below(49)
    canvas = Canvas(SIDE, width, dice.colour(0.7, 1.0, 0.35))
    canvas.drift(dice, dice.colour(0.7, 1.0, 0.35), 4)
    picture = canvas.frame
    unit = dice.between(17, 21)
    seat = picture.moved(width / 2 + dice.near(0, 8), 34 + dice.near(0, 5), unit, dice.near(0, 0.06))
    land = seat.moved(0, 1.35 + 5)
    canvas.paint(land, box(land, 50, 5), dice.colour(0.1, 0.6))
    length = (width / 2 - 10) / unit * dice.between(0.75, 0.95)
    _assemble(dice, canvas, seat, list(WAGONS.values())[number], length)
    for _ in range(dice.below(2)):
        mast = picture.moved(dice.between(0, width), 36, 1, dice.near(0, 0.1))
        canvas.paint(mast, box(mast, dice.between(1, 3), 80), dice.colour(0.1, 0.7))
    canvas.light(dice, 0.7, 1.15)
    canvas.fog(dice, 0.25)
    canvas.blur(dice.below(2))
    return canvas.develop(dice, dice.between(0.02, 0.06))


def _assemble(dice: Dice, canvas: Canvas, seat: Frame, build: Build, length: float) -> None:
    dark = tint(dice.between(0, 1), 0.3, dice.between(0.05, 0.3))
    canvas.paint(seat, _body(seat, build, length), dice.colour(0.15, 0.55))
    roof = _roof(seat, build.roof, length)
    if roof is not None:
        canvas.paint(seat, roof, dice.colour(0.1, 0.6))
    glass = dice.colour(0.6, 0.95)
    for number in range(build.openings):
        pane = seat.moved(length * 0.8 * (2 * (number + 0.5) / build.openings - 1), -0.05)
        canvas.paint(pane, box(pane, dice.between(0.22, 0.32), dice.between(0.3, 0.4)), glass)
    frame = seat.moved(0, 0.82)
    canvas.paint(frame, box(frame, length, 0.12), dark)
    for number in range(build.axles):
        wheel = seat.moved(_axle(number, build.axles, length), 1.1, dice.between(0.24, 0.32))
        canvas.paint(wheel, disc(wheel), dark)
        if dice.chance(0.5):
            canvas.paint(wheel, ring(disc(wheel, 0.5), 0.15), glass)


def _body(seat: Frame, build: Build, length: float) -> Plane:
    if build.body == "low":
        return box(seat.moved(0, 0.6), length, 0.2)
    if build.body == "barrel":
        return np.minimum(ellipse(seat.moved(0, 0.1), length, 0.65), box(seat.moved(0, -0.6), 0.3, 0.2))
    if build.body == "funnel":
        return polygon(seat, ((-length, -0.7), (length, -0.7), (length * 0.6, 0.75), (-length * 0.6, 0.75)))
    return box(seat, length, 0.75)


def _roof(seat: Frame, roof: str, length: float) -> Plane | None:
    if roof == "flat":
        return box(seat.moved(0, -0.82), length * 1.03, 0.12)
    if roof == "arch":
        arch: Plane = np.maximum(ellipse(seat.moved(0, -0.7), length * 1.05, 0.5), seat.y + 0.7)
        return arch
    if roof == "peak":
        return polygon(seat, ((-length * 1.08, -0.7), (length * 1.08, -0.7), (0.0, -1.3)))
    return None


def _axle(number: int, axles: int, length: float) -> float:
    if axles == 2:
        return length * 0.6 * (2 * number - 1)
    return length * (-0.82, -0.5, 0.5, 0.82)[number]
