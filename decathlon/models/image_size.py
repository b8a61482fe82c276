"""Which sizes of images a network can take, found by trying one image."""

import torch
from torch import nn

from decathlon.errors import UsageError

TRIED = range(32, 321, 32)  # sizes that networks are made for; the deepest of timm need 299 pixels
FAULTS = (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError)  # by torch and by timm's models


def refuse_size(network: nn.Module, size: int, what: str, flag: str = "--size") -> None:
    """Raise UsageError where a network, called `what`, cannot take images of `size` x `size` pixels.

    It names a larger size that will do, the least one up to the next multiple of 32 pixels, and the option `flag`
    that sets it. The network is left in evaluation mode.
    """
    network.eval()  # in training a norm needs two values of a channel, and a batch has two images at least
    fault = _fault(network, size)
    if fault is None:
        return
    larger = next((other for other in TRIED if other > size and not _fault(network, other)), None)
    if larger is None:
        reason = (str(fault).strip() or type(fault).__name__).splitlines()[0].rstrip(".")
        raise UsageError(f"{what} cannot take images of {size} pixels ({reason}). Choose another trunk or method.")
    while larger - 1 > size and not _fault(network, larger - 1):
        larger -= 1
    raise UsageError(f"{what} cannot take images of {size} pixels. Set {flag} {larger}, or choose another trunk.")


@torch.no_grad()
def _fault(network: nn.Module, size: int) -> Exception | None:
    """Return what a network raises for an image of a size, None if it takes it."""
    device = next(network.parameters()).device
    try:
        network(torch.zeros(1, 3, size, size, device=device))
    except torch.OutOfMemoryError:
        return None
    except FAULTS as error:
        return error
    return None
