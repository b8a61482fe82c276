"""Figures: people in gray, twice as high as wide, among things that are not people."""

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import SIDE, Dice, gray
from decathlon.data_prep.synth.shapes import Frame, Point, box, disc, ellipse, stroke

FIGURES = ("other", "person")
_HEIGHT = 2 * SIDE


def figure(dice: Dice, number: int) -> Pixels:
    """Draw a person (1), or street furniture and a person's parts in a wrong order (0).

    Varies: pose, build, the clothing's shade, mostly darker than the background's, position, clutter, light,
    fog, blur.
    """
    shade = dice.between(0.5, 0.85)
    canvas = Canvas(_HEIGHT, SIDE, gray(shade))
    canvas.drift(dice, gray(dice.between(0.5, 0.85)), 4)
    scene = canvas.frame
    for _ in range(3):
        _clutter(dice, canvas, scene)
    frame = scene.moved(36 + dice.near(0, 6), 72 + dice.near(0, 8), dice.between(22, 30), dice.near(0, 0.08))
    step = dice.between(0.25, 0.45) * (1 if dice.chance(0.15) else -1)
    tone = shade + (step if 0.05 < shade + step < 0.95 else -step)
    (_person if number else _other)(dice, canvas, frame, tone)
    if dice.chance(0.5):
        _clutter(dice, canvas, scene)
    canvas.light(dice, 0.7, 1.2)
    canvas.fog(dice, 0.2)
    canvas.blur(1 + dice.below(4))
    return canvas.develop(dice, dice.between(0.02, 0.06))


def _person(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    _head(dice, canvas, frame, -1.65, tone)
    _trunk(dice, canvas, frame, -0.55, tone)
    for hand in (-1, 1):
        _limb(dice, canvas, frame, (0.4 * hand, -1.15), -0.1, 0.13, tone)
        _limb(dice, canvas, frame, (0.18 * hand, 0.2), 1.9, 0.19, tone)


def _other(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    (_post, _tree, _upside_down, _limbs)[dice.below(4)](dice, canvas, frame, tone)


def _post(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    """Draw a post with a round plate."""
    _limb(dice, canvas, frame, (0.0, -1.3), 1.9, dice.between(0.1, 0.4), tone)
    _head(dice, canvas, frame, dice.between(-1.65, -1.3), tone)


def _tree(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    _limb(dice, canvas, frame, (0.0, -0.3), 1.9, dice.between(0.12, 0.3), tone)
    _trunk(dice, canvas, frame.moved(0, 0, dice.between(1.1, 1.6)), -0.7, tone)


def _upside_down(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    """Draw a person's parts upside down."""
    _person(dice, canvas, frame.moved(0, 0, 1, 3.14159), tone)


def _limbs(dice: Dice, canvas: Canvas, frame: Frame, tone: float) -> None:
    """Draw a torso and limbs without a head, or with too many arms."""
    _trunk(dice, canvas, frame, dice.between(-0.9, 0.6), tone)
    for _ in range(4):
        start = dice.near(0, 0.5), dice.between(-1.5, 1)
        _limb(dice, canvas, frame, start, dice.between(-1.5, 1.9), dice.between(0.12, 0.2), tone)


def _head(dice: Dice, canvas: Canvas, frame: Frame, down: float, tone: float) -> None:
    seat = frame.moved(dice.near(0, 0.08), down, dice.between(0.25, 0.34))
    canvas.paint(seat, disc(seat), gray(tone + dice.near(0, 0.06)))


def _trunk(dice: Dice, canvas: Canvas, frame: Frame, down: float, tone: float) -> None:
    seat = frame.moved(0, down)
    shape = ellipse(seat, dice.between(0.4, 0.55), dice.between(0.8, 0.95))
    canvas.paint(seat, shape, gray(tone + dice.near(0, 0.06)))


def _limb(dice: Dice, canvas: Canvas, frame: Frame, start: Point, down: float, pen: float, tone: float) -> None:
    swing = dice.near(0, 0.4)
    knee = start[0] + swing * 0.6 + dice.near(0, 0.1), (start[1] + down) / 2
    end = start[0] + swing + dice.near(0, 0.1), down
    canvas.paint(frame, stroke(frame, [start, knee, end], pen), gray(tone + dice.near(0, 0.06)))


def _clutter(dice: Dice, canvas: Canvas, scene: Frame) -> None:
    tone = gray(dice.between(0.15, 0.85))
    seat = scene.moved(dice.between(0, SIDE), dice.between(0, _HEIGHT), dice.between(3, 9))
    kind = dice.below(3)
    shape = disc(seat) if kind == 0 else box(seat, *((0.5, 12) if kind == 1 else (3, 1)))
    canvas.paint(seat, shape, tone, 0.6)
