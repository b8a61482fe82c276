"""score: by how steeply the decathlon score rises with a domain's accuracy, at its present validation error.

The score of the Visual Decathlon (Rebuffi, Bilen, Vedaldi 2017, https://arxiv.org/abs/1705.08045) and its slope:

    S = sum over d of 1000 (max(0, M_d - E_d) / M_d)^2        -dS/dE_d = 2000 max(0, M_d - E_d) / M_d^2

M_d is twice the domain's baseline error, or the error of a guess where it has none, E_d its error in the latest
validation. Weights are proportional to the slopes and sum to K, the number of domains. None is far below a tenth of
the mean, or a domain without points, where the slope is 0, could never earn any. Before the first validation all
are 1, and a domain without validation images has the mean of the others' slopes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from decathlon.data.domains import Domain
from decathlon.training.weighting import Setting, Weighting

LEAST = 0.1


class Score(Weighting):
    """`errors` (domains,) are those of the latest validation, 2 where there was none."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.errors = torch.full((len(self.domains),), 2.0, dtype=torch.float64)
        self.most = torch.tensor([_most(domain) for domain in setting.domains], dtype=torch.float64)

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss times the domain's weight."""
        return loss * float(self.weights()[self.domains.index(domain)])

    def validated(self, errors: Mapping[str, float]) -> None:
        """Take over the errors of a validation."""
        for name, error in errors.items():
            self.errors[self.domains.index(name)] = error

    def weights(self) -> Tensor:
        """Return the weights, on average 1."""
        known = self.errors <= 1
        if not bool(known.any()):
            return torch.ones_like(self.errors)
        slopes = (self.most - self.errors).clamp(min=0) / self.most**2
        slopes = torch.where(known, slopes, slopes[known].mean())
        shares = slopes / slopes.mean() if float(slopes.sum()) > 0 else torch.ones_like(slopes)
        raised = shares.clamp(min=LEAST)
        return raised / raised.mean()

    def state(self) -> Mapping[str, Tensor]:
        """Return the errors of the latest validation."""
        return {"errors": self.errors}


def _most(domain: Domain) -> float:
    """Return the error that earns no points."""
    return 2 * domain.baseline_error if domain.baseline_error else 1 - 1 / max(2, len(domain.categories))
