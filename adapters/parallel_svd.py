"""parallel-svd: parallel adapters of low rank, one factor of them shared by the domains.

Rebuffi, Bilen, Vedaldi 2018, "Efficient parametrization of multi-domain deep neural networks"
(https://arxiv.org/abs/1803.10082). The second phase of `parallel`: at every 3x3 convolution the trained adapters of
all domains are put side by side, and their singular value decomposition, cut to rank K, splits each into

    A_d = beta gamma_d          beta: outputs x K, shared; gamma_d: K x inputs, with the stride

with sqrt(S) on each side. Then beta, gamma_d, norms and heads continue to train, all domains together. K is
`rank` times the smaller side; the rank and the fine-tuning of the paper are unconfirmed. Needs --trunk RUN of a
parallel run. Starts at that run, as near as the rank allows. Stored per domain: gamma_d and norms; shared: beta.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from decathlon.adapters.parallel import adaptable, add_pointwise
from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import PointwiseConv, initialise, with_centre
from decathlon.models.method import Learned, Method, Options, Regime, option
from decathlon.models.surgery import Beside
from decathlon.models.trunks.trunk import Trunk


@dataclass(frozen=True)
class ParallelSvdOptions(Options):
    """The rank of the adapters."""

    rank: float = option(0.5, "rank of an adapter as a fraction of its smaller side")

    def __post_init__(self) -> None:
        if not 0 < self.rank <= 1:
            raise UsageError(f"method 'parallel-svd': rank is {self.rank}, it must be above 0, at most 1.")


class LowRankConv(nn.Module):
    """A convolution plus its 1x1 adapter in two factors."""

    def __init__(self, conv: nn.Conv2d, beta: PointwiseConv) -> None:
        super().__init__()
        self.conv = conv
        self.gamma = PointwiseConv(conv.in_channels, beta.in_channels, conv.stride[0])
        self.beta = beta
        initialise(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        adapter = self.beta.weight.flatten(1) @ self.gamma.weight.flatten(1)
        return with_centre(self.conv, adapter[:, :, None, None], x)

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """Return one 3x3 convolution."""
        return add_pointwise(self.conv, self.beta.weight[:, :, 0, 0] @ self.gamma.weight[:, :, 0, 0])


class ParallelSvd(Method):
    """Low-rank adapters at every 3x3 convolution, stem included; norms per domain."""

    group = "adapters"
    regimes = ("frozen",)
    published = Convention(heads=False, norms="in", nine=True, shared=False)
    options: ParallelSvdOptions = ParallelSvdOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.betas = Beside(trunk, self._beta)
        initialise(self.betas)
        self.shared["betas"] = self.betas

    def _beta(self, conv: nn.Conv2d) -> PointwiseConv | None:
        if not adaptable(conv):
            return None
        rank = max(1, int(self.options.rank * min(conv.in_channels, conv.out_channels)))
        return PointwiseConv(rank, conv.out_channels)

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Put an adapter beside a convolution that has a shared factor."""
        beta = self.betas.of(conv)
        return conv if beta is None else LowRankConv(conv, cast(PointwiseConv, beta))

    def continues(self, learned: Learned) -> bool:
        """Continue with the adapters of a parallel run, or with factors of the same rank."""
        return learned.method == "parallel" or super().continues(learned)

    @torch.no_grad()
    def prepare(self, learned: Learned | None, domains: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
        """Decompose the adapters of a parallel run; all other tensors of its domains are kept."""
        if learned is not None and learned.method == self.name() and self.continues(learned):
            return super().prepare(learned, domains)
        if learned is None or not self.continues(learned):
            raise UsageError(
                "method 'parallel-svd' needs the adapters of a parallel run. Name it with --trunk RUN."
            )
        for domain in domains:
            if domain not in learned.deltas:
                raise UsageError(f"the parallel run has no adapters of {domain}. Leave it out, or train it there.")
        starts = {domain: dict(learned.deltas[domain]) for domain in domains}
        for site in self.betas.paths():
            beta = cast(PointwiseConv, self.betas.at(site))
            name = f"body.{site}.adapter.weight"
            adapters = torch.cat([start.pop(name)[:, :, 0, 0] for start in starts.values()], 1)
            left, values, right = torch.linalg.svd(adapters.double(), full_matrices=False)
            rank = beta.in_channels
            beta.weight.copy_((left[:, :rank] * values[:rank].sqrt())[:, :, None, None])
            gammas = (values[:rank, None].sqrt() * right[:rank]).float().chunk(len(starts), 1)
            for start, gamma in zip(starts.values(), gammas, strict=True):
                start[f"body.{site}.gamma.weight"] = gamma[:, :, None, None].clone()
        return starts
