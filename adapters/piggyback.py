"""piggyback: one bit per weight selects the trunk's weights that a domain uses.

Mallya, Davis, Lazebnik 2018, "Piggyback: adapting a single network to multiple tasks by learning to mask weights"
(https://arxiv.org/abs/1801.06519). At every convolution, with real numbers m_d in the shape of the weight:

    W_d = 1[m_d > tau] . W          tau = 5e-3, m_d starts at 1e-2; `ternary`: (1[m_d > tau] - 1[m_d < 0]) . W

The gradient passes the threshold as if it were the identity. As published, the masks have their own Adam, here at
rate `lr` on the recipe's schedule; a mask needs some fifty steps at 1e-4 to cross the threshold. Norms are the
trunk's in evaluation mode, as published; `own_norms` gives the domain trainable ones. Starts at the trunk exactly.
Stored per domain: 1 bit per weight (`ternary`: 2), eight or four to a byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import EditedConv, FrozenNorm
from decathlon.models.method import Apart, Method, Options, option
from decathlon.models.surgery import own_norm

START, THRESHOLD = 1e-2, 5e-3
MASK = ".edit.mask"  # the suffix of mask names in a delta


@dataclass(frozen=True)
class PiggybackOptions(Options):
    """The values of a mask, and how it trains."""

    ternary: bool = option(False, "masks of -1, 0 and 1")
    lr: float = option(1e-4, "highest learning rate of the masks", may_differ=True)
    own_norms: bool = option(False, "trainable norms per domain")

    def __post_init__(self) -> None:
        if not 0 < self.lr <= 1:
            raise UsageError(f"method 'piggyback': lr is {self.lr}, it must be a number above 0, at most 1.")


class Mask(nn.Module):
    """Multiplies a weight (outputs, inputs, height, width) by thresholded real numbers."""

    def __init__(self, weight: Tensor, ternary: bool) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.full_like(weight, START))
        self.ternary = ternary

    def forward(self, weight: Tensor) -> Tensor:
        """Return the masked weight; the gradient reaches the real numbers past the threshold."""
        hard = (self.mask > THRESHOLD).to(weight.dtype)
        if self.ternary:  # as in the published code: 0 between 0 and the threshold, -1 at once below 0
            hard = hard - (self.mask < 0).to(weight.dtype)
        # the brackets keep the sum exact: the second term is zero, with a gradient of one
        return (hard + (self.mask - self.mask.detach())) * weight


class Piggyback(Method):
    """Masks at every convolution, packed eight to a byte when stored."""

    group = "masks"
    regimes = ("frozen",)
    published = Convention(heads=False, norms="out", nine=True)
    options: PiggybackOptions = PiggybackOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Mask the weight of any convolution; its bias stays."""
        return EditedConv(conv, Mask(conv.weight, self.options.ternary))

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Keep the norm in evaluation mode, or give the domain its own."""
        return own_norm(norm) if self.options.own_norms else FrozenNorm(norm)

    def apart(self, body: nn.Module) -> Apart:
        """Train the masks with Adam."""
        masks = tuple(part.mask for part in body.modules() if isinstance(part, Mask))
        return Apart("adam", self.options.lr, masks)

    def bits(self, name: str, tensor: Tensor) -> int:
        """Count the whole bytes of packed bits for a mask."""
        return 8 * self._bytes(tensor) if name.endswith(MASK) else super().bits(name, tensor)

    def pack(self, delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Store the thresholded masks as bits: all `> tau`, then for ternary all `< 0`."""
        return {name: self._to_bits(tensor) if name.endswith(MASK) else tensor for name, tensor in delta.items()}

    def unpack(self, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn bits into masks on the same side of the threshold; the real numbers are not stored."""
        fits = {name for name in stored if name.endswith(MASK) and name in like and self._fits(stored, like, name)}
        return {name: self._from_bits(t, like[name]) if name in fits else t for name, t in stored.items()}

    def _fits(self, stored: Mapping[str, Tensor], like: Mapping[str, Tensor], name: str) -> bool:
        return stored[name].dtype == torch.uint8 and stored[name].shape == (self._bytes(like[name]),)

    def _bytes(self, mask: Tensor) -> int:
        return -(-mask.numel() * (2 if self.options.ternary else 1) // 8)

    def _to_bits(self, mask: Tensor) -> Tensor:
        flat = mask.contiguous().flatten()  # masks are laid out as their weights, channels last
        flags = torch.cat((flat > THRESHOLD, flat < 0)) if self.options.ternary else flat > THRESHOLD
        padded = nn.functional.pad(flags, (0, -len(flags) % 8)).view(-1, 8)
        return (padded << torch.arange(8, device=mask.device)).sum(1).to(torch.uint8)

    def _from_bits(self, packed: Tensor, mask: Tensor) -> Tensor:
        flags = (packed[:, None] >> torch.arange(8, device=packed.device) & 1).flatten().float()
        signed = flags[: mask.numel()]
        if self.options.ternary:
            signed = signed - flags[mask.numel() : 2 * mask.numel()]
        return START * signed.view(mask.shape)
