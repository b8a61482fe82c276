"""The tally of an epoch: what the micro-batches gave, read from the device as rarely as it may be."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from decathlon.errors import DivergedError

EVERY = 100  # micro-batches between two reads: one wait in seconds of work, and a diverged run ends soon


class EpochMetrics:
    """Summed loss, right answers and images of every domain: `sums`, float64 (domains, 3), in host memory.

    To read a number from a GPU is to wait for all the work that is queued on it. With `deferred` the values
    therefore stay on the device until `settle`, which the end of an epoch and every checkpoint call; otherwise each
    is read at once, before its gradient is taken.

    A deferred loss that is not finite is found after it spoilt the networks in memory. That is sound because
    nothing is written before `settle`: the checkpoint is from before it. To skip the update on the device instead
    would take a flag that four of the recipe's optimizers know, and would come too late for the norms' statistics,
    which the forward pass has moved already.
    """

    def __init__(self, names: tuple[str, ...], deferred: bool) -> None:
        self.names, self.deferred = names, deferred
        self.sums = torch.zeros(len(names), 3, dtype=torch.float64)
        self._open: list[tuple[int, int, int]] = []  # domain, step and images of what is not read yet
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def clear(self) -> None:
        """Begin an epoch."""
        self.sums.zero_()
        self._forget()

    def add(self, domain: int, step: int, loss: Tensor, correct: Tensor, images: int) -> None:
        """Count a micro-batch: its mean loss and its number of right answers (both scalars on the device)."""
        self._open.append((domain, step, images))
        self._losses.append(loss.detach())
        self._correct.append(correct)
        if not self.deferred or len(self._open) == EVERY:
            self.settle()

    def settle(self) -> None:
        """Read what is open into `sums`; raises DivergedError for the first loss that is not finite."""
        if not self._open:
            return
        losses, correct = torch.stack(self._losses).tolist(), torch.stack(self._correct).tolist()
        for (domain, step, images), loss, right in zip(self._open, losses, correct, strict=True):
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss of {self.names[domain]} became {loss} at step {step}: "
                    "try a smaller --lr, or --precision fp32."
                )
            self.sums[domain] += torch.tensor([loss * images, right, images], dtype=torch.float64)
        self._forget()

    def _forget(self) -> None:
        self._open, self._losses, self._correct = [], [], []
