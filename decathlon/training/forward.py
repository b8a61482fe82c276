"""Forward passes in training: plain, compiled, and of several domains in one batch.

Compiled, there is one graph for the bodies of all domains, with their heads outside. The bodies of a run are
equal except for their tensors, and torch.compile makes inputs of the graph of a module's tensors: the second
domain's body passes the checks of the first one's graph. A head has the shape of its domain's classes: whole
networks would be a graph each, and torch gives up after eight (seen in torch 2.15).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from decathlon.models.multi_domain_model import DomainNetwork, trunk_in

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


def mixed_logits(networks: Sequence[DomainNetwork], images: Sequence[Tensor]) -> list[Tensor]:
    """Return each domain's logits (batch, classes) for its images (batch, 3, height, width), trunk run once.

    The networks' bodies read the taps of one trunk that learns, and share its norms; all images have one height and
    width. As Universal Representations trains (Li et al. 2022, https://arxiv.org/abs/2204.02744): the statistics of
    the norms are those of all domains together, and so fit each of them in evaluation mode.
    """
    trunk = trunk_in(networks[0])
    assert trunk is not None  # the body of a reader holds one
    counts = [len(part) for part in images]
    taps = [torch.split(tap, counts) for tap in trunk.taps(torch.cat(list(images)))]
    return [
        network.head(network.body.read(parts))  # type: ignore[operator]
        for network, parts in zip(networks, zip(*taps, strict=True), strict=True)
    ]


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
