"""dan: every filter of a domain is a linear combination of the trunk's filters.

Rosenfeld and Tsotsos 2018, "Incremental learning through deep adaptation" (https://arxiv.org/abs/1705.04228).
At every convolution, shortcuts too, with the weight as a matrix of one row per filter:

    W_d = P_d W          P_d: outputs x outputs, starts at I + I . randn / outputs

Convolutions and the affine part of the norms are the trunk's; running statistics are the domain's. `diagonal`
keeps only the diagonal of P_d. The recipe's weight decay pulls P_d to 0 like any weight; a diagonal, being a
vector, decays where norms do (`decay_norms`). Starts near the trunk. Stored per domain: P_d (774,400 on
wrn-28-4-dan) and statistics.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decathlon.models.footprint import Convention
from decathlon.models.layers import EditedConv
from decathlon.models.method import Method, Options, option
from decathlon.models.surgery import own_norm, own_statistics


@dataclass(frozen=True)
class DanOptions(Options):
    """The form of P_d, and the norms."""

    diagonal: bool = option(False, "scale every filter instead of mixing filters")
    own_norms: bool = option(False, "a trainable affine part of the norms per domain")


class Recombine(nn.Module):
    """Mixes filters: a weight (outputs, inputs, height, width) to one of the same shape."""

    def __init__(self, outputs: int, diagonal: bool) -> None:
        super().__init__()
        factors = 1 + torch.randn(outputs) / outputs
        self.controller = nn.Parameter(factors if diagonal else factors.diag())

    def forward(self, weight: Tensor) -> Tensor:
        """Return P W."""
        if self.controller.ndim == 1:
            return self.controller.view(-1, 1, 1, 1) * weight
        return (self.controller @ weight.flatten(1)).view_as(weight)


class Dan(Method):
    """Recombined filters at every convolution."""

    group = "adapters"
    regimes = ("frozen",)
    published = Convention(heads=False, norms="out", nine=True)
    options: DanOptions = DanOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Recombine the filters of any convolution; its bias stays."""
        return EditedConv(conv, Recombine(conv.out_channels, self.options.diagonal))

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Keep the affine part frozen, with running statistics of the domain, or give the domain the whole norm."""
        return own_norm(norm) if self.options.own_norms else own_statistics(norm).requires_grad_(False)
