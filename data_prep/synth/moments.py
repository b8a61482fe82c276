"""Mean and standard deviation of many images' pixels."""

from __future__ import annotations

import numpy as np

from decathlon.data_prep.synth.canvas import Pixels

Channels = tuple[float, float, float]


class Moments:
    """Sums of pixels and of their squares, in integers: exact, so the same on every machine."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = [0, 0, 0]
        self.squares = [0, 0, 0]

    def add(self, pixels: Pixels) -> None:
        """Count in an image (height, width, 3)."""
        self.count += pixels.shape[0] * pixels.shape[1]
        for channel in range(3):
            levels = pixels[..., channel].astype(np.int64)
            self.sums[channel] += int(levels.sum())
            self.squares[channel] += int((levels * levels).sum())

    def mean_std(self) -> tuple[Channels, Channels]:
        """Return mean and standard deviation per channel in 0..1, to six digits."""
        means = [total / self.count for total in self.sums]
        variances = [square / self.count - mean * mean for square, mean in zip(self.squares, means, strict=True)]
        red, green, blue = (round(mean / 255, 6) for mean in means)
        spread = [round(max(variance, 0.0) ** 0.5 / 255, 6) for variance in variances]
        return (red, green, blue), (spread[0], spread[1], spread[2])
