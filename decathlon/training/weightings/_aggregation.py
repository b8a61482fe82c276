"""Weightings that combine the domains' gradients of what they share, by an aggregator of TorchJD.

TorchJD (https://torchjd.org) is an optional package: `pip install 'visual-decathlon[aggregators]'`.
"""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from decathlon.errors import UsageError
from decathlon.system.seeding import seeded
from decathlon.training.weighting import Setting, Step, Weighting


class Aggregation(Weighting):
    """Takes every domain's gradient out of `shared` as a row (parameters,) and puts back what the rows make.

    The matrix (domains, parameters) is allocated once. A subclass names the aggregator and its options. Where that
    returns a mean, so that ten equal gradients make one of their length, `mean` scales it to the length of their
    sum, which `equal` has.
    """

    kind: ClassVar[str]
    options: Mapping[str, Any] = {}
    mean: ClassVar[bool] = False
    reads_shared = True
    needs_all = True
    takes_out = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        try:
            self.aggregator = getattr(importlib.import_module("torchjd.aggregation"), self.kind)(**self.options)
        except ImportError:
            raise UsageError(
                f"weighting '{setting.recipe.weighting}' needs TorchJD with its solvers. Install them with "
                "pip install 'visual-decathlon[aggregators]'."
            ) from None
        self.rows = torch.empty(0)
        self.taken, self.step = 0, 0

    def describe(self) -> str:
        """Say how much memory the gradients of all domains take."""
        size = len(self.domains) * sum(parameter.numel() * 4 for parameter in self.shared)
        name, count = self.setting.recipe.weighting, len(self.domains)
        return f"{name}: the gradients of {count} domains take {size / 1e6:.1f} MB."

    def begin(self, step: Step) -> None:
        """Allocate the matrix, the first time, and start with its first row."""
        size = sum(parameter.numel() for parameter in self.shared)
        if self.rows.shape != (len(step.domains), size):
            self.rows = torch.empty(len(step.domains), size, device=self.setting.device)
        self.taken, self.step = 0, step.number

    @torch.no_grad()
    def collect(self, domain: str) -> None:
        """Move the gradients of what domains share into the domain's row."""
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.shared]
        torch.cat([gradient.flatten() for gradient in gradients], out=self.rows[self.taken])
        torch._foreach_zero_(gradients)
        self.taken += 1

    @torch.no_grad()
    def finish(self) -> None:
        """Combine the rows, and put the result in the place of the gradients."""
        if hasattr(self.aggregator, "reset"):
            self.aggregator.reset()  # some begin where they ended in the step before, which no checkpoint holds
        with seeded(self.setting.seed, "weighting", self.step), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a solver about how it is called
            combined = self.aggregator(self.rows) * (len(self.rows) if self.mean else 1)
        parts = combined.split([parameter.numel() for parameter in self.shared])
        for parameter, part in zip(self.shared, parts, strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(part.view(parameter.shape))
