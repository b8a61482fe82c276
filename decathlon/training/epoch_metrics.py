"""The metrics of an epoch: sums over its micro-batches, read from the device as rarely as possible."""

import math

import torch
from torch import Tensor

from decathlon.errors import DivergedError

EVERY = 100  # micro-batches between two reads: one wait in seconds of work, and a diverged run still ends soon


class EpochMetrics:
    """Loss, weighted loss, correct answers and images summed by domain: `sums` (domains, 4), in host memory.

    Reading a number from a GPU waits for all the work queued on it. With `deferred`, values therefore stay on the
    device until `settle`, which the end of an epoch and every checkpoint call; otherwise each is read at once,
    before its backward pass.

    A deferred loss that is not finite is found after it has spoilt the networks in memory. That is safe because
    nothing is written before `settle`: the checkpoint is an earlier one. Skipping the update on the device instead
    would need a flag that only four of the recipe's optimizers have, and would come too late for the norms'
    statistics, which the forward pass has already moved.
    """

    def __init__(self, names: tuple[str, ...], deferred: bool) -> None:
        self.names, self.deferred = names, deferred
        self.sums = torch.zeros(len(names), 4, dtype=torch.float64)
        self._open: list[tuple[int, int, int]] = []  # domain, step and images of pending values
        self._values: list[Tensor] = []  # of each: loss, weighted loss, correct answers

    def clear(self) -> None:
        """Start an epoch."""
        self.sums.zero_()
        self._forget()

    def add(self, domain: int, step: int, loss: Tensor, weighted: Tensor, correct: Tensor, images: int) -> None:
        """Add a micro-batch: its mean loss, that as weighted, and its correct answers (scalars on the device)."""
        self._open.append((domain, step, images))
        self._values.append(torch.stack((loss.detach(), weighted.detach(), correct.to(loss.dtype))))
        if not self.deferred or len(self._open) == EVERY:
            self.settle()

    def settle(self) -> None:
        """Read pending values into `sums`; raises DivergedError for the first loss that is not finite."""
        if not self._open:
            return
        for (domain, step, images), values in zip(self._open, torch.stack(self._values).tolist(), strict=True):
            loss, weighted, right = values
            if not math.isfinite(loss) or not math.isfinite(weighted):
                raise DivergedError(
                    f"the loss of {self.names[domain]} became {loss} at step {step}. "
                    "Try a smaller --lr, or --precision fp32."
                )
            self.sums[domain] += torch.tensor(
                [loss * images, weighted * images, right, images], dtype=torch.float64
            )
        self._forget()

    def _forget(self) -> None:
        self._open, self._values = [], []
