"""Mean and standard deviation of a split's pixels, exact, from blocks of any size."""

from collections.abc import Container

import numpy as np
import numpy.typing as npt

from decathlon.data.domains import SPLITS
from decathlon.data.packed_file import PackedFile

Channels = tuple[float, float, float]
_ROW = 3 * 1024  # a multiple of 3, long enough to add whole rows at memory speed
_PART = _ROW * 512  # 12 MB as float64: stays in the cache


class Moments:
    """Running sums of pixel values and their squares, per RGB channel.

    The sums of one block are integers below 2^53, so float64 holds them exactly in any order.
    """

    def __init__(self) -> None:
        self.pixels = 0
        self._sums = [0, 0, 0]
        self._squares = [0, 0, 0]

    def add(self, pixels: bytes | npt.NDArray[np.uint8]) -> None:
        """Add flat RGB values; their number must be a multiple of 3."""
        self.pixels += len(pixels) // 3
        block = np.frombuffer(pixels, np.uint8)
        for begin in range(0, len(block), _PART):
            part = block[begin : begin + _PART]
            values = np.zeros(-(-len(part) // _ROW) * _ROW)  # zeros add nothing
            values[: len(part)] = part
            rows = values.reshape(-1, _ROW)
            for channel in range(3):
                self._sums[channel] += int(rows.sum(axis=0)[channel::3].sum())
                self._squares[channel] += int(np.einsum("ij,ij->j", rows, rows)[channel::3].sum())

    @property
    def mean(self) -> Channels:
        """The mean in 0..1 of every channel."""
        red, green, blue = (total / self.pixels / 255 for total in self._sums)
        return red, green, blue

    @property
    def std(self) -> Channels:
        """The standard deviation in 0..1 of every channel; 1/255 for a constant one, so that it can divide."""
        red, green, blue = (
            ((self.pixels * square - total * total) or self.pixels**2) ** 0.5 / self.pixels / 255
            for total, square in zip(self._sums, self._squares, strict=True)
        )
        return red, green, blue


def measured_split(splits: Container[str]) -> str:
    """Return the split that a domain's statistics are measured on: train, else val, else test."""
    return next(split for split in SPLITS if split in splits)


def measure(file: PackedFile, domain: str) -> Moments:
    """Return the exact moments of a packed domain over its train split, in bounded memory."""
    moments = Moments()
    for block in file.blocks(domain, measured_split(file.splits(domain)), "pixels"):
        moments.add(block)
    return moments
