"""geometric: the geometric mean of the losses, so that a domain counts by how many per cent its loss falls.

Chennupati et al. 2019, "MultiNet++: multi-stream feature aggregation and geometric loss strategy for multi-task
learning" (https://arxiv.org/abs/1904.08492). With K domains:

    L = (product over d of L_d)^(1/K)          its gradient: sum over d of w_d grad L_d,  w_d = L / (K L_d)

An image has one domain, and a domain's gradient is taken as soon as its loss is known: the product has the domain's
loss of this micro-batch and the latest ones of all others, and no domain has to wait with its graph for the next.
K w_d is used in place of w_d: for equal losses it is 1.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from decathlon.training.weighting import Setting, Weighting

LEAST = 1e-6  # a loss below it counts as this


class Geometric(Weighting):
    """`latest` (domains,) are the losses seen last, 0 where none was."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.latest = torch.zeros(len(self.domains), dtype=torch.float64, device=setting.device)

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss times the geometric mean over it."""
        place = self.domains.index(domain)
        self.latest[place] = loss.detach().clamp(min=LEAST)
        return loss * self.weights()[place].to(loss.dtype)

    def weights(self) -> Tensor:
        """Return the geometric mean of the losses seen so far over each of them, 1 where none was seen."""
        seen = self.latest > 0
        logs = torch.where(seen, self.latest, 1.0).log()
        return torch.where(seen, torch.exp(logs.sum() / seen.sum().clamp(min=1) - logs), 1.0)

    def state(self) -> Mapping[str, Tensor]:
        """Return the losses seen last."""
        return {"latest": self.latest}
