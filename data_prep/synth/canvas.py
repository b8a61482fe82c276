"""The canvas of the synthetic benchmark: shapes, light and noise become pixels.

Everything is drawn with additions, products, quotients, roots and comparisons on float32, which every machine
rounds alike. No font, no rasteriser, no matrix product and no floating-point sum over an array is involved: the
same draws give the same pixels.
"""

import numpy as np
import numpy.typing as npt

from decathlon.data_prep.synth.dice import Colour, Dice, Plane
from decathlon.data_prep.synth.shapes import Frame, whole

Pixels = npt.NDArray[np.uint8]


class Canvas:
    """An image (3, height, width) of float32 in about 0..1, filled with one colour."""

    def __init__(self, height: int, width: int, colour: Colour) -> None:
        self.height, self.width = height, width
        self.image: npt.NDArray[np.float32] = np.empty((3, height, width), dtype=np.float32)
        for channel, value in zip(self.image, colour, strict=True):
            channel[:] = value

    @property
    def frame(self) -> Frame:
        """The frame of the image itself: pixels, from the upper left corner."""
        return whole(self.height, self.width)

    def paint(self, frame: Frame, distance: Plane, colour: Colour, opacity: float = 1.0) -> None:
        """Paint a shape seen from `frame`, given by its distance."""
        self.fill(frame.cover(distance) * opacity, colour)

    def fill(self, mask: Plane, colour: Colour) -> None:
        """Lay a colour over the image where `mask` (height, width) is 1."""
        for channel, value in zip(self.image, colour, strict=True):
            channel += mask * (value - channel)

    def drift(self, dice: Dice, colour: Colour, cells: int, opacity: float = 1.0) -> None:
        """Let the image drift to another colour and back, in hills 1/`cells` of it wide."""
        self.fill(dice.field(self.height, self.width, cells) * opacity, colour)

    def add(self, plane: Plane, amount: float) -> None:
        """Add `amount` times a plane (height, width) to every channel."""
        self.image += plane * amount

    def light(self, dice: Dice, low: float, high: float) -> None:
        """Brighten and darken the image smoothly by factors in `low`..`high`."""
        self.image *= low + dice.field(self.height, self.width, 2) * (high - low)

    def fog(self, dice: Dice, share: float) -> None:
        """Hide a `share` of all images behind fog, between half and nearly all of what they show.

        It keeps a domain from being solved completely: most images stay clear and are learned fast.
        """
        if dice.chance(share):
            density, tone = dice.between(0.5, 0.98), dice.between(0.2, 0.8)
            self.image += (tone - self.image) * density

    def blur(self, times: int) -> None:
        """Smooth the image `times` times with the weights 1 2 1 in both directions."""
        for _ in range(times):
            for axis in (1, 2):
                padded = np.concatenate([self.image.take([0], axis), self.image, self.image.take([-1], axis)], axis)
                length = self.image.shape[axis]
                before, after = padded.take(range(length), axis), padded.take(range(2, length + 2), axis)
                self.image = (before + self.image + self.image + after) * 0.25

    def develop(self, dice: Dice, grain: float) -> Pixels:
        """Return the image as uint8 (height, width, 3), with noise of up to `grain` in every pixel."""
        self.add(dice.grain(self.height, self.width), grain)
        levels = np.clip(self.image * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))
