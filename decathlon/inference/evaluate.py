"""Predictions of one domain's network over a pool."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.data.image_pool import ImagePool
from decathlon.errors import DivergedError
from decathlon.system.device import autocast

BATCH = 256


@torch.inference_mode()
def predict(network: nn.Module, pool: ImagePool, bf16: bool, batch: int = BATCH) -> Tensor:
    """Return logits (images, classes) for the centre crops of a pool, `batch` images at a time.

    Raises DivergedError when they are not finite.
    """
    network.eval()
    rows = []
    for begin in range(0, len(pool), batch):
        index = torch.arange(begin, min(begin + batch, len(pool)), device=pool.home)
        with autocast(pool.device, bf16):
            rows.append(network(pool.batch(index)).float())
    logits = torch.cat(rows)
    if not bool(logits.isfinite().all()):
        raise DivergedError(f"the network of {pool.domain.name} predicts NaN or infinity. Train it again.")
    return logits


def evaluate(network: nn.Module, pool: ImagePool, bf16: bool) -> tuple[float, float]:
    """Return the mean cross entropy and the accuracy over a labelled pool."""
    logits = predict(network, pool, bf16)
    loss = cross_entropy(logits, pool.labels).item()
    return loss, (logits.argmax(1) == pool.labels).double().mean().item()
