"""Compiled forward passes: one graph for the bodies of all domains, their heads outside.

The bodies of a run are equal except for their tensors, and torch.compile makes inputs of the graph of a module's
tensors: the second domain's body passes the checks of the first one's graph. A head has the shape of its domain's
classes: whole networks would be a graph each, and torch gives up after eight (seen in torch 2.15).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from decathlon.models.multi_domain_model import DomainNetwork

Forward = Callable[[DomainNetwork, Tensor], Tensor]


def plain_forward(network: DomainNetwork, images: Tensor) -> Tensor:
    """Map images (batch, 3, height, width) to logits (batch, classes) as the network itself does."""
    logits: Tensor = network(images)
    return logits


def compiled_forward(backend: str | Callable[..., Any] = "inductor", cuda_graphs: bool = False) -> Forward:
    """Return `plain_forward` with the body compiled at its first call, for one shape of batches.

    `backend` is torch.compile's: "eager" and "aot_eager" rehearse the graph without making code. With `cuda_graphs`
    the body's launches are recorded for every domain and replayed. One call overwrites what the last one returned:
    its backward pass must come before, and its gradients must have memory of their own (see `Gradients`).
    """
    mode = "reduce-overhead" if cuda_graphs and backend == "inductor" else None  # other backends know no modes
    body = torch.compile(_run, backend=backend, mode=mode, dynamic=False)

    def forward(network: DomainNetwork, images: Tensor) -> Tensor:
        if cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        logits: Tensor = network.head(body(network.body, images))
        return logits

    return forward


def _run(body: nn.Module, images: Tensor) -> Tensor:
    features: Tensor = body(images)
    return features


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
