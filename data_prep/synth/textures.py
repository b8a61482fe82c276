"""Textures: one pattern that fills the image."""

from collections.abc import Callable

import numpy as np

from decathlon.data_prep.synth.canvas import Canvas, Pixels
from decathlon.data_prep.synth.dice import Dice, Plane


def texture(dice: Dice, number: int) -> Pixels:
    """Fill the image with the pattern `number`.

    Varies: pitch, direction, warp of the surface, two colours and how much of the second shows, light, noise.
    """
    height, width = dice.size(100)
    dark, bright = dice.colour(0.1, 0.45), dice.colour(0.55, 0.95)
    canvas = Canvas(height, width, dark)
    frame = canvas.frame.moved(
        dice.between(0, width), dice.between(0, height), dice.between(9, 16), dice.near(0, 3.2),
        dice.between(0.75, 1.33),
    )  # fmt: skip
    warp = dice.between(0.3, 1.2)
    x = frame.x + dice.field(height, width, 3) * warp
    y = frame.y + dice.field(height, width, 3) * warp
    sharpness = dice.between(1.5, 5)
    level: Plane = np.clip((list(TEXTURES.values())[number](x, y) - 0.5) * sharpness + 0.5, 0, 1)
    canvas.fill(level * dice.between(0.6, 1), bright)
    canvas.light(dice, 0.55, 1.2)
    return canvas.develop(dice, dice.between(0.02, 0.06))


def _part(value: Plane) -> Plane:
    return value - np.floor(value)


def _wave(value: Plane) -> Plane:
    return np.abs(_part(value) * 2 - 1)


def _stripes(x: Plane, y: Plane) -> Plane:
    return _wave(x)


def _bands(x: Plane, y: Plane) -> Plane:
    return _wave(x) * 0.65 + _wave(x * 3) * 0.35


def _zigzag(x: Plane, y: Plane) -> Plane:
    return _wave(x + _wave(y * 0.5) * 1.2)


def _checks(x: Plane, y: Plane) -> Plane:
    return 0.5 + (_wave(x * 0.5) - 0.5) * (_wave(y * 0.5) - 0.5) * 4


def _lattice(x: Plane, y: Plane) -> Plane:
    return np.maximum(_wave(x), _wave(y)) * 1.5 - 0.65


def _plaid(x: Plane, y: Plane) -> Plane:
    return (_wave(x) + _wave(y)) * 0.5


def _dots(x: Plane, y: Plane) -> Plane:
    across, down = _part(x) - 0.5, _part(y) - 0.5
    level: Plane = 1.25 - np.sqrt(across * across + down * down) * 2.4
    return level


def _rings(x: Plane, y: Plane) -> Plane:
    across, down = _part(x * 0.5) - 0.5, _part(y * 0.5) - 0.5
    return _wave(np.sqrt(across * across + down * down) * 3.2)


def _bricks(x: Plane, y: Plane) -> Plane:
    shifted = x * 0.5 + np.floor(y) * 0.5
    return np.minimum(1 - _wave(y), (1 - _wave(shifted)) * 2) * 2


def _scales(x: Plane, y: Plane) -> Plane:
    across, down = _part(x + np.floor(y) * 0.5) - 0.5, _part(y)
    return np.sqrt(across * across + down * down) * 1.15


def _weave(x: Plane, y: Plane) -> Plane:
    over = np.floor(x) + np.floor(y)
    return np.where(over - 2 * np.floor(over * 0.5) > 0, _wave(x * 2), _wave(y * 2))


def _confetti(x: Plane, y: Plane) -> Plane:
    turned = x * 0.8 + y * 0.6, y * 0.8 - x * 0.6
    return np.maximum(_dots(x, y), _dots(*turned))


TEXTURES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "stripes": _stripes,
    "bands": _bands,
    "zigzag": _zigzag,
    "checks": _checks,
    "lattice": _lattice,
    "plaid": _plaid,
    "dots": _dots,
    "rings": _rings,
    "bricks": _bricks,
    "scales": _scales,
    "weave": _weave,
    "confetti": _confetti,
}
