"""What every trunk offers: named taps, pooled features, and a fresh copy of itself."""

from __future__ import annotations

from torch import Tensor, nn


class Trunk(nn.Module):
    """A convolutional network without a head.

    `name` is what `trunks.registry.build` makes it from. `tap_channels` are the channels of each tap, in order of
    depth; the last tap is what a head would pool.
    """

    name: str
    tap_channels: tuple[int, ...]

    @property
    def features(self) -> int:
        """The width of the pooled features a head reads."""
        return self.tap_channels[-1]

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to one (batch, channels, height, width) a tap, shallow to deep."""
        raise NotImplementedError

    def fresh(self) -> Trunk:
        """Return a trunk of the same structure with new random weights."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to pooled features (batch, features)."""
        return self.read(self.taps(images))

    def read(self, taps: tuple[Tensor, ...]) -> Tensor:
        """Map the taps to pooled features (batch, features)."""
        return taps[-1].mean((2, 3))
