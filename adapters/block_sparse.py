"""block-sparse: a difference to the trunk in whole filters, as few of them as a penalty leaves.

After Jalali, Ravikumar, Sanghavi, Ruan 2010, "A dirty model for multi-task learning"
(https://papers.nips.cc/paper/2010/hash/00e26af6ac3b1c1c49d7c3d79c60d000-Abstract.html): what tasks share, plus a
sparse part of each. At every convolution, with the filters o of a domain as groups:

    W_d = W + D_d        L + strength . sum over d and o of || D_d[o] ||        (l1 over filters of l2 within them)

The penalty has no gradient at 0, where filters ought to end. After every update at rate r comes its proximal
step in place of one: D_d[o] <- max(0, 1 - r strength / || D_d[o] ||) D_d[o]. A filter that is 0 is not stored
and not billed. Starts at the trunk exactly. Stored per domain: the surviving filters of D_d, a bit for every
filter, and the norms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decathlon.adapters.soft import PenaltyOptions
from decathlon.models.footprint import Convention
from decathlon.models.layers import EditedConv
from decathlon.models.method import Method, option

SPARSE = ".edit.difference"  # the suffix of differences in a delta


@dataclass(frozen=True)
class BlockSparseOptions(PenaltyOptions):
    """How few filters differ."""

    strength: float = option(0.1, "the factor of the penalty: higher leaves fewer filters", may_differ=True)


class Difference(nn.Module):
    """Adds a difference to a weight (outputs, inputs, height, width)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.difference = nn.Parameter(torch.zeros_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return W + D."""
        return weight + self.difference


@torch.no_grad()
def shrink(difference: Tensor, by: float) -> None:
    """Take `by` off the length of every filter of (outputs, ...), in place; a shorter one becomes 0."""
    lengths = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    factors = (1 - by / lengths.clamp(min=1e-30)).clamp(min=0)
    difference.mul_(factors.view(-1, *[1] * (difference.ndim - 1)))


class BlockSparse(Method):
    """Differences in few filters at every convolution; norms per domain."""

    group = "sharing"
    regimes = ("frozen", "joint")
    published = Convention(heads=False, norms="out", nine=True)
    options: BlockSparseOptions = BlockSparseOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Add a difference to the weight of any convolution; its bias stays."""
        return EditedConv(conv, Difference(conv.weight))

    def end(self, networks: Mapping[str, nn.Module], rate: float) -> None:
        """Take the proximal step of the domains that were active."""
        for network in networks.values():
            for part in network.modules():
                if isinstance(part, Difference):
                    shrink(part.difference, rate * self.options.strength)

    def bits(self, name: str, tensor: Tensor) -> int:
        """Count the filters that are not 0, and the whole bytes of a bit for each filter."""
        if not name.endswith(SPARSE):
            return super().bits(name, tensor)
        # counted without a run, as if all filters differed
        kept = len(tensor) if tensor.is_meta else int(tensor.flatten(1).any(1).sum())
        return 32 * kept * tensor[0].numel() + 8 * -(-len(tensor) // 8)

    def pack(self, delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Store a bit for every filter, then the numbers of those that are not 0, as bytes."""
        return {name: _packed(tensor) if name.endswith(SPARSE) else tensor for name, tensor in delta.items()}

    def unpack(self, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put the filters back in their places, 0 elsewhere."""
        sparse = {name for name in stored if name.endswith(SPARSE) and name in like}
        return {name: _unpacked(t, like[name]) if name in sparse else t for name, t in stored.items()}


def _packed(difference: Tensor) -> Tensor:
    kept = difference.flatten(1).any(1)
    flags = nn.functional.pad(kept, (0, -len(kept) % 8)).view(-1, 8) << torch.arange(8, device=kept.device)
    numbers = difference[kept].contiguous().flatten()
    return torch.cat((flags.sum(1).to(torch.uint8), numbers.view(torch.uint8)))


def _unpacked(packed: Tensor, like: Tensor) -> Tensor:
    """Return the difference, or what was given where it does not fit."""
    flags = -(-len(like) // 8)
    if packed.dtype != torch.uint8 or packed.ndim != 1 or len(packed) < flags:
        return packed
    bits = packed[:flags, None] >> torch.arange(8, device=packed.device) & 1
    kept, filled = bits.flatten()[: len(like)].bool(), torch.zeros(like.shape, device=packed.device)
    if len(packed) - flags != filled[kept].numel() * filled.element_size():
        return packed
    # a copy: numbers are aligned to four bytes
    filled[kept] = packed[flags:].clone().view(filled.dtype).view(filled[kept].shape)
    return filled
