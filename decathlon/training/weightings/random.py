"""random: weights drawn anew at every step.

Lin, Ye, Zhang 2022, "Reasonable effectiveness of random weighting: a litmus test for multi-task learning"
(https://arxiv.org/abs/2111.10603), random loss weighting:

    w = K softmax(z),  z ~ N(0, 1)^K          K domains; the paper's weights sum to 1, these to K as equal ones do

All domains have a weight at every step, active or not, so that it does not depend on which ones a step has. The
draw is a function of the seed and the step.
"""

import torch
from torch import Tensor

from decathlon.system.seeding import generator
from decathlon.training.weighting import Setting, Step, Weighting


class Random(Weighting):
    """`now` (domains,) are the weights of the step."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.now = torch.ones(len(self.domains), device=setting.device)

    def begin(self, step: Step) -> None:
        """Draw the weights of a step."""
        noise = torch.randn(len(self.domains), generator=generator(self.setting.seed, "weighting", step.number))
        self.now = len(self.domains) * torch.softmax(noise, 0).to(self.setting.device)

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss times the domain's weight."""
        return loss * self.now[self.domains.index(domain)]
