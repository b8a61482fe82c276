"""Gradients in memory of their own, which lasts from step to step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Gradients:
    """Keeps the memory of gradients, where autograd would take over what a backward pass returns.

    A backward pass that is replayed as a CUDA graph returns the same memory every time: a gradient left there is
    overwritten by the next micro-batch of the step, and torch refuses to read it (pytorch issue 169545).
    Into a gradient that is there already autograd adds.
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Parameter, Tensor] = {}

    def ready(self, networks: Iterable[nn.Module]) -> None:
        """Set to zero the gradients of all that learns in the networks of a step; those of others stay None."""
        active = {
            parameter for network in networks for parameter in network.parameters() if parameter.requires_grad
        }
        for parameter in active:
            if parameter not in self._kept:
                self._kept[parameter] = torch.empty_like(parameter)
            parameter.grad = self._kept[parameter]
        torch._foreach_zero_([self._kept[parameter] for parameter in active])
