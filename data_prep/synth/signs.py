"""Signs: a board and a mark on it, at the roadside."""

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import Colour, Dice, Plane, tint
from decathlon.data_prep.synth.shapes import Frame, Point, box, disc, regular, ring, stroke

BOARDS = 4
_MARKS: tuple[tuple[tuple[Point, ...], ...], ...] = (
    (((0.4, 0.0), (-0.4, 0.0), (-0.1, -0.3)), ((-0.4, 0.0), (-0.1, 0.3))),
    (((-0.4, 0.0), (0.4, 0.0), (0.1, -0.3)), ((0.4, 0.0), (0.1, 0.3))),
    (((-0.35, 0.4), (-0.35, 0.0), (0.0, -0.15), (0.35, -0.3)),),
    (((0.35, 0.4), (0.35, 0.0), (0.0, -0.15), (-0.35, -0.3)),),
)
SIGNS = BOARDS * len(_MARKS)


def sign(dice: Dice, number: int) -> Pixels:
    """Draw one of four boards with one of four marks; two pairs of marks are each other's mirror images.

    Varies: size, position, tilt, shade of the paint, clutter behind, a twig in front, light, fog, blur.
    """
    height, width = dice.size(84)
    canvas = Canvas(height, width, dice.colour())
    canvas.drift(dice, dice.colour(), 3)
    scene = canvas.frame
    for _ in range(4):
        _line(dice, canvas, scene, dice.between(1, 5), dice.colour())
    frame = scene.moved(
        width / 2 + dice.near(0, 5), height / 2 + dice.near(0, 5), dice.between(18, 31),
        dice.near(0, 0.2), dice.between(0.75, 1.1),
    )  # fmt: skip
    mark = _board(dice, canvas, frame, number // len(_MARKS))
    pen = dice.between(0.08, 0.13)
    for line in _MARKS[number % len(_MARKS)]:
        canvas.paint(frame, stroke(frame, line, pen), mark)
    for _ in range(dice.below(2)):
        _line(dice, canvas, scene, dice.between(0.8, 2), dice.colour(0.1, 0.5))
    canvas.light(dice, dice.between(0.35, 0.8), 1.1)
    canvas.fog(dice, 0.25)
    canvas.blur(dice.below(4))
    return canvas.develop(dice, dice.between(0.02, 0.05))


def _board(dice: Dice, canvas: Canvas, frame: Frame, board: int) -> Colour:
    white = tint(dice.between(0, 1), dice.between(0, 0.15), dice.between(0.7, 0.95))
    red = tint(dice.between(-0.04, 0.05), dice.between(0.55, 0.9), dice.between(0.5, 0.9))
    blue = tint(dice.between(0.55, 0.66), dice.between(0.5, 0.9), dice.between(0.4, 0.85))
    dark = tint(dice.between(0, 1), 0.2, dice.between(0.05, 0.25))
    outline = _outline(frame, board)
    filled, rim, mark = ((white, red, dark), (white, red, dark), (blue, white, white), (blue, white, white))[board]
    canvas.paint(frame, outline, filled)
    canvas.paint(frame, ring(outline + 0.1, 0.1), rim)
    return mark


def _outline(frame: Frame, board: int) -> Plane:
    if board == 1:
        return regular(frame.moved(0, 0.15), 3, 1.5)
    if board == 3:
        return box(frame, 0.9, 0.9)
    return disc(frame)


def _line(dice: Dice, canvas: Canvas, scene: Frame, pen: float, colour: Colour) -> None:
    height, width = scene.x.shape
    ends = [(dice.between(0, width), dice.between(0, height)) for _ in range(2)]
    canvas.paint(scene, stroke(scene, ends, pen), colour)
