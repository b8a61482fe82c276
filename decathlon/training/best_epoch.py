"""The weights of the best epoch in validation, kept beside those that train on."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


class BestEpoch:
    """A copy of the weights after the epoch of the highest accuracy so far, the first of equal ones.

    It is part of a checkpoint: a resumed run keeps the same epoch.
    """

    def __init__(self) -> None:
        self.epoch, self.accuracy = 0, -1.0
        self.weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, accuracy: float, weights: Mapping[str, Tensor]) -> bool:
        """Keep a copy of the weights if their accuracy is above that of every epoch before; say whether it was."""
        if accuracy <= self.accuracy:
            return False
        self.epoch, self.accuracy = epoch, accuracy
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return True

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the plain values to restore it from; nothing before the first epoch."""
        tensors = {f"best.{name}": tensor for name, tensor in self.weights.items()}
        return tensors, {"best": {"epoch": self.epoch, "accuracy": self.accuracy}} if tensors else {}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to where `state` was called."""
        if best := values.get("best"):
            self.epoch, self.accuracy = best["epoch"], best["accuracy"]
            kept = {name for name in tensors if name.startswith("best.")}
            self.weights = {name.removeprefix("best."): tensors[name] for name in kept}
