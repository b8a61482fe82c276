"""uncertainty: a learned log-variance s_d for every domain, less weight where the loss stays high.

Kendall, Gal, Cipolla 2018, "Multi-task learning using uncertainty to weigh losses for scene geometry and semantics"
(https://arxiv.org/abs/1705.07115), in the form of Liu et al.'s code:

    L = sum over d of  w_d L_d + s_d / 2,  w_d = 1 / (2 exp(s_d))        where s_d rests, w_d = 1 / (2 L_d)

A domain in the place of a task changes nothing in it: s_d is trained on the micro-batches of its domain. It starts
at -0.5, has an Adam of its own at a rate of 1e-2 without decay, and stays within -2..3: a domain that is fitted to
a loss near 0 would get a weight without limit.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from decathlon.training.weighting import Setting, Weighting

START, LEAST, MOST, RATE = -0.5, -2.0, 3.0, 1e-2
SLOTS = ("step", "exp_avg", "exp_avg_sq")


class Uncertainty(Weighting):
    """`variances` are the log-variances, a scalar for every domain: those of inactive domains do not move."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.variances = {name: nn.Parameter(torch.tensor(START, device=setting.device)) for name in self.domains}
        self.optimizer = torch.optim.Adam(self.variances.values(), lr=RATE)
        for parameter in self.variances.values():  # all of the state from the first checkpoint on
            self.optimizer.state[parameter] = {
                "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }  # fmt: skip

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return L / (2 exp(s)) + s / 2."""
        variance = self.variances[domain]
        return torch.exp(-variance) * loss / 2 + variance / 2

    @torch.no_grad()
    def finish(self) -> None:
        """Update the log-variances of the domains that were active."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for variance in self.variances.values():
            variance.clamp_(LEAST, MOST)

    @torch.no_grad()
    def weights(self) -> Tensor:
        """Return 1 / (2 exp(s))."""
        return torch.exp(-torch.stack([variance.detach() for variance in self.variances.values()])) / 2

    def state(self) -> Mapping[str, Tensor]:
        """Return the log-variances and what Adam keeps of them."""
        state = {f"variance.{name}": parameter.detach() for name, parameter in self.variances.items()}
        for name, parameter in self.variances.items():
            state |= {f"{slot}.{name}": self.optimizer.state[parameter][slot] for slot in SLOTS}
        return state
