"""Which domains pull a trunk the same way: cosines of their gradients, measured while they train together.

Yu et al. 2020 (https://arxiv.org/abs/2001.06782) call a negative cosine a conflict. A gradient of one
micro-batch is mostly noise, so that all cosines are near 0: here they are those of the gradients summed over an
epoch.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class GradientAffinity:
    """`rows` (domains, parameters): the gradients of the convolutions that domains share, summed over an epoch."""

    def __init__(self, domains: Sequence[str], shared: Sequence[nn.Parameter]) -> None:
        self.domains = tuple(domains)
        self.convolutions = [parameter for parameter in shared if parameter.ndim == 4]
        size = sum(parameter.numel() for parameter in self.convolutions)
        device = shared[0].device if shared else torch.device("cpu")
        self.rows = torch.zeros(len(self.domains), size, device=device)
        self._before: Tensor | None = None

    def begin(self, epoch_begins: bool) -> None:
        """Expect the gradients of a step, which are none yet."""
        self._before = None
        if epoch_begins:
            self.rows.zero_()

    @torch.no_grad()
    def collect(self, domain: str) -> None:
        """Add what the domain's backward pass added to the gradients."""
        present = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.convolutions]
        )
        self.rows[self.domains.index(domain)] += present if self._before is None else present - self._before
        self._before = present

    def forget(self) -> None:
        """Take it that the gradients were taken out after a domain's backward pass, as some weightings do."""
        self._before = None

    def cosines(self) -> dict[str, dict[str, float]]:
        """Return the cosine of every pair of domains, 0 where one had no gradient."""
        lengths = self.rows.norm(dim=1).clamp(min=1e-30)
        found = (self.rows @ self.rows.T / lengths.outer(lengths)).clamp(-1, 1).tolist()
        return {
            one: dict(zip(self.domains, row, strict=True)) for one, row in zip(self.domains, found, strict=True)
        }

    def state(self) -> Mapping[str, Tensor]:
        """Return the sums of the epoch so far."""
        return {"rows": self.rows}
