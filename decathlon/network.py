"""One domain's network: a body made by a method, and the domain's head."""

from __future__ import annotations

from torch import Tensor, nn

from decathlon.trunks.trunk import Trunk


class DomainNetwork(nn.Module):
    """Body and linear head; an ordinary module that shares tensors with the trunk."""

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, 3, height, width) to logits (batch, classes)."""
        logits: Tensor = self.head(self.body(images))
        return logits


def trunk_in(network: nn.Module) -> Trunk | None:
    """Return the trunk inside a network, None where its body holds none."""
    return next((part for part in network.modules() if isinstance(part, Trunk)), None)


def delta(network: nn.Module, shared: dict[int, Tensor]) -> dict[str, Tensor]:
    """Return what of a network is not among the `shared` tensors: what is stored for its domain."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    held = {name for name, tensor in named if id(tensor) in shared}
    return {name: tensor for name, tensor in network.state_dict().items() if name not in held}
