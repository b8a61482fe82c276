"""The interface of a trunk: taps, pooled features, and a copy with new random weights."""

from __future__ import annotations

from torch import Tensor, nn


class Trunk(nn.Module):
    """A convolutional network without a head.

    `name` is the name that `trunks.registry.build` takes. `tap_channels` are the channels of each tap, in order of
    depth; the last tap is what a head would pool.
    """

    name: str
    tap_channels: tuple[int, ...]

    @property
    def features(self) -> int:
        """The width of the pooled features a head reads."""
        return self.tap_channels[-1]

    def taps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (batch, 3, height, width) to one (batch, channels, height, width) per tap, shallow to deep."""
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
