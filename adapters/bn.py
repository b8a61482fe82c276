"""bn: shared convolutions, normalisation per domain.

Bilen and Vedaldi 2017, "Universal representations" (https://arxiv.org/abs/1701.07275): BN_d with affine
parameters and statistics of domain d. Over a trunk that learns (the default) this is hard parameter sharing;
with --freeze only norms and heads train. Starts at the trunk exactly. Stored per domain: the norms.
"""

from decathlon.models.footprint import Convention
from decathlon.models.method import Method


class DomainNorm(Method):
    """The defaults of `Method`: the trunk's convolutions, the domain's own norms."""

    group = "baselines"
    regimes = ("joint", "frozen")
    published = Convention(heads=False, norms="in", nine=True)
