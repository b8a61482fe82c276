"""Blossoms: petals around a heart, on leaves."""

import math
from dataclasses import dataclass

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import Colour, Dice, tint
from decathlon.data_prep.synth.shapes import Frame, disc, ellipse, polygon

_POINTED = ((0.0, -1.0), (0.5, -0.1), (0.0, 1.0), (-0.5, -0.1))


@dataclass(frozen=True)
class Species:
    """What the blossoms of one kind have in common; `hue` is where the kind's range of hues begins."""

    petals: int
    narrow: float
    pointed: bool
    hue: float
    heart: float


# Neighbours share a colour or a form: neither alone tells the kind.
BLOSSOMS: dict[str, Species] = {
    "aster": Species(11, 0.35, False, 0.72, 0.35),
    "bellwort": Species(4, 0.6, True, 0.72, 0.2),
    "campion": Species(5, 0.75, False, 0.86, 0.2),
    "daisy": Species(11, 0.35, False, 0.08, 0.4),
    "flax": Species(5, 0.75, False, 0.58, 0.2),
    "gentian": Species(5, 0.6, True, 0.58, 0.25),
    "lily": Species(6, 0.6, True, 0.02, 0.18),
    "marigold": Species(9, 0.55, False, 0.08, 0.5),
    "poppy": Species(4, 1.0, False, 0.02, 0.3),
    "rose": Species(6, 1.0, False, 0.86, 0.25),
    "sunflower": Species(13, 0.35, True, 0.1, 0.55),
    "tulip": Species(6, 0.75, False, 0.94, 0.15),
}


def blossom(dice: Dice, number: int) -> Pixels:
    """Draw a blossom, sometimes with a second one of its kind behind.

    Varies: hue within a range that overlaps its neighbours', size, place, tilt, petals' lengths, leaves, light.
    """
    height, width = dice.size(100)
    canvas = Canvas(height, width, _leaf(dice))
    canvas.drift(dice, _leaf(dice), 5)
    picture = canvas.frame
    for _ in range(4):
        seat = picture.moved(dice.between(0, width), dice.between(0, height), dice.between(8, 18), dice.near(0, 3))
        canvas.paint(seat, ellipse(seat, 0.3, 1.2), _leaf(dice))
    species = list(BLOSSOMS.values())[number]
    if dice.chance(0.4):
        place = dice.between(0, width), dice.between(0, height)
        _bloom(dice, canvas, picture.moved(*place, dice.between(8, 14)), species)
    place = width / 2 + dice.near(0, 9), height / 2 + dice.near(0, 9)
    seat = picture.moved(*place, dice.between(18, 30), dice.near(0, 3), dice.between(0.7, 1.2))
    _bloom(dice, canvas, seat, species)
    canvas.light(dice, 0.55, 1.2)
    canvas.blur(dice.below(4))
    return canvas.develop(dice, dice.between(0.02, 0.05))


def _bloom(dice: Dice, canvas: Canvas, seat: Frame, species: Species) -> None:
    hue = species.hue + dice.between(-0.03, 0.08)
    saturation, value = dice.between(0.25, 0.9), dice.between(0.55, 0.95)
    for number in range(species.petals):
        angle = 2 * math.pi * number / species.petals + dice.near(0, 0.08)
        place = 0.55 * math.sin(angle), -0.55 * math.cos(angle)
        petal = seat.moved(*place, 0.45 * dice.between(0.85, 1.1), angle, species.narrow * dice.between(0.85, 1.15))
        shape = polygon(petal, _POINTED) if species.pointed else disc(petal)
        canvas.paint(petal, shape, tint(hue, saturation, value * dice.between(0.78, 1.0)))
    heart = disc(seat, species.heart * dice.between(0.85, 1.15))
    canvas.paint(seat, heart, tint(dice.between(0.05, 0.2), 0.7, dice.between(0.3, 0.9)))


def _leaf(dice: Dice) -> Colour:
    return tint(dice.between(0.2, 0.42), dice.between(0.2, 0.8), dice.between(0.1, 0.55))
