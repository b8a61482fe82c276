"""gradnorm: weights that bring the domains' gradients to comparable lengths, longer where a domain learns slowly.

Chen, Badrinarayanan, Lee, Rabinovich 2018, "GradNorm: gradient normalization for adaptive loss balancing in deep
multitask networks" (https://arxiv.org/abs/1711.02257). n_d is the length of the gradient of L_d at the last
convolution that domains share, the weight left out:

    r_d = (L_d / L_d(0)) / mean
    G = sum over d of | w_d n_d - mean(w n) r_d^alpha |, the second term constant
    w_d <- w_d - rate dG/dw_d,  dG/dw_d = sign(w_d n_d - mean(w n) r_d^alpha) n_d;  then all w to the sum K

The derivative is known, so that no second backward pass is needed. An image has one domain: a step measures the
domains that are active in it and moves their weights, against the latest measures of the others; the first update
comes once all have been seen. L_d(0) is log(classes), the loss of a guess: that of a first batch is noise of new
heads.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from decathlon.training.weighting import Setting, Step, Weighting

ALPHA, RATE, LEAST = 1.5, 0.025, 1e-3


class Gradnorm(Weighting):
    """`norms` and `losses` (domains,) are the latest measures, 0 where there was none; `now` are the weights."""

    reads_shared = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.last = [parameter for parameter in self.shared if parameter.ndim == 4][-1]
        guesses = [math.log(len(domain.categories)) for domain in setting.domains]
        self.initial = torch.tensor(guesses, device=setting.device).clamp(min=LEAST)
        self.norms, self.losses = torch.zeros_like(self.initial), torch.zeros_like(self.initial)
        self.now = torch.ones_like(self.initial)
        self.active: tuple[str, ...] = ()
        self.before: Tensor | None = None

    def begin(self, step: Step) -> None:
        """Expect the gradients of a step."""
        self.active, self.before = step.domains, None

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss times the domain's weight."""
        place = self.domains.index(domain)
        self.losses[place] = loss.detach()
        return loss * self.now[place]

    @torch.no_grad()
    def collect(self, domain: str) -> None:
        """Measure what the domain's backward pass added to the gradient of the last shared convolution."""
        if self.last.grad is None:
            return
        place = self.domains.index(domain)
        added = self.last.grad if self.before is None else self.last.grad - self.before
        self.norms[place] = added.norm() / self.now[place]
        if domain != self.active[-1]:
            self.before = self.last.grad.clone()

    @torch.no_grad()
    def finish(self) -> None:
        """Move the weights of the active domains."""
        places = [self.domains.index(domain) for domain in self.active]
        moved = self.now - RATE * derivative(self.now, self.norms, self.losses / self.initial)
        seen = (self.norms > 0).all()  # decided on the device: no wait
        now = self.now.clone()
        now[places] = moved[places].clamp(min=LEAST)
        self.now.copy_(torch.where(seen, now * len(now) / now.sum(), self.now))

    def weights(self) -> Tensor:
        """Return the weights, on average 1."""
        return self.now

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights and the measures that they follow from."""
        return {"norms": self.norms, "losses": self.losses, "weights": self.now}


def derivative(weights: Tensor, norms: Tensor, progress: Tensor) -> Tensor:
    """Return dG/dw for gradient norms without weights and the losses over the initial ones, all (domains,)."""
    target = (weights * norms).mean() * (progress / progress.mean()) ** ALPHA
    return torch.sign(weights * norms - target) * norms
