"""trace-norm: every domain has a whole network, and at each convolution they are pulled into few common directions.

Yang and Hospedales 2017, "Trace norm regularised deep multi-task learning" (https://arxiv.org/abs/1606.04038).
With the weights of all domains at a convolution as the rows of a matrix M (domains x numbers):

    L + strength . sum over convolutions of || M ||_*,  || M ||_* = sum of singular values = trace (M M^T)^(1/2)

The singular values come from the small Gram matrix M M^T (domains x domains), and so does the gradient, (M
M^T)^(-1/2) M: no decomposition of M. 1e-6 of the largest eigenvalue is added to each, since at the start all
rows are equal. A step moves the domains that are active in it. Starts at the trunk exactly. Stored per domain: a
whole trunk.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from decathlon.adapters.soft import PenaltyOptions, private_weights
from decathlon.models.footprint import Convention
from decathlon.models.method import Method
from decathlon.models.surgery import own
from decathlon.models.trunks.trunk import Trunk

SMOOTH = 1e-6


def trace_norm(rows: Sequence[Tensor], active: Sequence[int]) -> Tensor:
    """Return the trace norm of the matrix with these rows, of one shape; its gradient reaches the `active` ones."""
    matrix = torch.stack([row.detach().flatten() for row in rows])
    values, vectors = torch.linalg.eigh((matrix @ matrix.T).double())
    values = values.clamp(min=0) + SMOOTH * values[-1].clamp(min=1e-30)
    inverse_root = ((vectors / values.sqrt()) @ vectors.T).to(matrix.dtype)
    directions = inverse_root[list(active)] @ matrix
    moving = torch.stack([rows[place].flatten() for place in active])
    linear = (moving * directions).sum()  # its gradient is that of the norm
    norm: Tensor = linear + (values.sqrt().sum().to(linear.dtype) - linear).detach()
    return norm


class TraceNorm(Method):
    """A copy of the trunk, all of it trainable, in common directions with the other domains' copies."""

    group = "sharing"
    regimes = ("private",)
    coupled = True
    published = Convention(heads=False, norms="in", nine=False)
    options: PenaltyOptions = PenaltyOptions()

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return a trainable copy: (batch, 3, height, width) -> (batch, features)."""
        return own(trunk)

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor:
        """Return the sum of the trace norms, with a gradient for the active domains."""
        places = [list(networks).index(name) for name in active]
        norms = [trace_norm(list(weights.values()), places) for _, weights in private_weights(networks)]
        return self.options.strength * torch.stack(norms).sum()
