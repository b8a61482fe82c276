"""relationship: adapters of all domains under a common prior that learns which domains are alike.

Long, Cao, Wang, Yu 2017, "Learning multiple tasks with multilinear relationship networks"
(https://arxiv.org/abs/1506.02117). At every 3x3 convolution the domains' 1x1 adapters (`parallel`) form a tensor
A (domains x outputs x inputs) with a tensor-normal prior, whose first covariance is one for all convolutions:

    L + strength . sum over convolutions of vec(A)^T (R (x) S (x) T)^(-1) vec(A)

The paper puts the prior on the last layers of its tasks. Heads of 2 to 1,623 classes have no common shape, so
here it is on the adapters, or with `on=norms` on what the norms' scales and shifts differ from 1 and 0 by. The
covariances R (domains), S (outputs) and T (inputs) are estimated from the present weights at every step, each
given the others and constant in the gradient, a tenth shrunk to the identity and brought to a mean variance of
1: the prior says which domains move together, `strength` how strongly. `decathlon affinity RUN` shows the
correlations in R. Starts at the trunk exactly. Stored per domain: A_d and the norms, as `parallel`; no
covariance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from decathlon.adapters.parallel import ParallelConv, ParallelOptions, adaptable
from decathlon.adapters.soft import PenaltyOptions
from decathlon.models.footprint import Convention
from decathlon.models.method import Method, option
from decathlon.models.surgery import named_norms

SHRUNK = 0.1


@dataclass(frozen=True)
class RelationshipOptions(PenaltyOptions):
    """What the prior is on."""

    on: Literal["adapters", "norms"] = option("adapters", "what the prior is on")


class Relationship(Method):
    """Adapters at every 3x3 convolution, from zero; norms per domain."""

    group = "sharing"
    regimes = ("frozen", "joint")
    coupled = True
    published = Convention(heads=False, norms="out", nine=True)
    options: RelationshipOptions = RelationshipOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Put an adapter beside an ungrouped 3x3 convolution; leave others alone."""
        return ParallelConv(conv, ParallelOptions(init="zero")) if adaptable(conv) else conv

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor:
        """Return the prior's term over all domains, with a gradient for the active ones."""
        stacked = list(self._tensors(networks, active))
        domains = covariance_of([tensor.detach() for tensor in stacked])
        return self.options.strength * torch.stack([term(tensor, domains) for tensor in stacked]).sum()

    @torch.no_grad()
    def relation(self, networks: Mapping[str, nn.Module]) -> Tensor:
        """Return the covariance of the domains in the prior."""
        return covariance_of(list(self._tensors(networks, ())))

    def _tensors(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Iterator[Tensor]:
        """Yield the tensors (domains, outputs, inputs) under the prior; rows of inactive domains are constant."""
        columns = [list(self._parts(network)) for network in networks.values()]
        for parts in zip(*columns, strict=True):
            yield torch.stack([
                part if name in active else part.detach() for name, part in zip(networks, parts, strict=True)
            ])  # fmt: skip

    def _parts(self, network: nn.Module) -> Iterator[Tensor]:
        if self.options.on == "adapters":
            for part in network.modules():
                if isinstance(part, ParallelConv):
                    yield part.adapter.weight[:, :, 0, 0]
            return
        for _, norm in named_norms(network):
            yield torch.stack((norm.weight - 1, norm.bias), 1)


def covariance(products: Tensor) -> Tensor:
    """Return a covariance (n, n) from a sum of outer products: mean variance 1, shrunk to the identity."""
    identity = torch.eye(len(products), dtype=products.dtype, device=products.device)
    mean = products.diagonal().mean()
    scaled = torch.where(mean > 0, products / mean.clamp(min=1e-30), identity)
    return (1 - SHRUNK) * scaled + SHRUNK * identity


def sides(tensor: Tensor, domains: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariances of outputs and of inputs of (domains, outputs, inputs), given that of the domains."""
    white = torch.linalg.solve(domains, tensor.flatten(1)).view_as(tensor)
    outputs = covariance(torch.einsum("doi,dpi->op", white, tensor))
    white = torch.linalg.solve(outputs, white)
    return outputs, covariance(torch.einsum("doi,doj->ij", white, tensor))


def covariance_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the covariance of the domains (domains, domains) over all tensors (domains, outputs, inputs)."""
    first = covariance(torch.stack([tensor.flatten(1) @ tensor.flatten(1).T for tensor in tensors]).sum(0))
    products = []
    for tensor in tensors:
        outputs, inputs = sides(tensor, first)
        white = torch.linalg.solve(outputs, tensor)
        white = torch.linalg.solve(inputs, white.transpose(1, 2)).transpose(1, 2)
        products.append(white.flatten(1) @ tensor.flatten(1).T)
    return covariance(torch.stack(products).sum(0))


def term(tensor: Tensor, domains: Tensor) -> Tensor:
    """Return vec(A)^T (R (x) S (x) T)^(-1) vec(A), with S and T of the tensor itself."""
    outputs, inputs = sides(tensor.detach(), domains)
    return normal(tensor, domains, outputs, inputs)


def normal(tensor: Tensor, domains: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """Return the quadratic form of a tensor (domains, outputs, inputs), without the Kronecker product."""
    white = torch.linalg.solve(domains, tensor.flatten(1)).view_as(tensor)
    white = torch.linalg.solve(inputs, torch.linalg.solve(outputs, white).transpose(1, 2)).transpose(1, 2)
    form: Tensor = (tensor * white).sum()
    return form
