"""Muon: momentum whose matrices are made orthogonal before every step (Jordan et al. 2024).

https://kellerjordan.github.io/posts/muon/, with the scale of Liu et al. 2025 (https://arxiv.org/abs/2502.16982).
The iteration is timm's. The optimizers of timm and torch run it in bfloat16 on every machine, which takes a CPU
without instructions for it 15 times as long as float32 (64 x 576, torch 2.15), and for one matrix after the other;
torch's takes no convolutions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.optim.muon import zeropower_via_newtonschulz
from torch import Tensor

# of the five iterations, by You Jiacheng (https://leloykun.github.io/ponder/muon-opt-coeffs/)
COEFFICIENTS = [
    (4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]  # fmt: skip
SCALE = 0.2  # the root mean square of an update at a rate of 1, about that of AdamW


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonal updates and decoupled weight decay for matrices and convolutions.

    A convolution (outputs, inputs, height, width) is the matrix (outputs, inputs * height * width). With `bf16` the
    iteration computes in bfloat16. Matrices of one shape are iterated together.
    """

    def __init__(
        self, params: Iterable[dict[str, Any]], lr: float, momentum: float, weight_decay: float, bf16: bool
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = torch.bfloat16 if bf16 else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            if not found:
                continue
            for parameter in found:
                if "momentum_buffer" not in self.state[parameter]:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
            gradients, momentum = [p.grad for p in found], group["momentum"]
            kept = [self.state[p]["momentum_buffer"] for p in found]
            torch._foreach_lerp_(kept, gradients, 1 - momentum)
            updates = torch._foreach_lerp(gradients, kept, momentum)  # Nesterov: a step ahead
            torch._foreach_mul_(found, 1 - group["lr"] * group["weight_decay"])
            self._apply(found, list(updates), group["lr"])

    def _apply(self, parameters: list[torch.nn.Parameter], updates: list[Tensor], lr: float) -> None:
        """Subtract the orthogonal updates, one iteration for all matrices of a shape."""
        shapes: dict[tuple[int, int], list[int]] = {}
        for place, update in enumerate(updates):
            shapes.setdefault((len(update), update[0].numel()), []).append(place)
        for (rows, columns), places in shapes.items():
            stacked = torch.stack([updates[place].reshape(rows, columns) for place in places])
            made = zeropower_via_newtonschulz(stacked, len(COEFFICIENTS), COEFFICIENTS, dtype=self.dtype)
            rate = lr * SCALE * max(rows, columns) ** 0.5
            for place, update in zip(places, made, strict=True):
                parameters[place].sub_(update.view(parameters[place].shape).to(parameters[place].dtype), alpha=rate)
