"""A trunk, a method over it, and one network per domain: what is trained, stored and predicted with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from decathlon.errors import VerificationError
from decathlon.models.footprint import Convention, Footprint, count
from decathlon.models.layers import FrozenNorm
from decathlon.models.method import Method
from decathlon.models.surgery import M, named_norms, own_norm, replace, share, tensors
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.trunk import Trunk
from decathlon.system.seeding import seeded
from decathlon.system.tensor_files import digest

Norms = Mapping[str, Mapping[str, Tensor]]  # of one domain: the state of each norm by its path in the trunk


class MultiDomainModel:
    """Networks of several domains over one trunk, on one device, weights in channels_last.

    `seed` decides the random weights of every domain's own modules, whatever the order they are added in.
    `norms` holds, for some domains, the trunk's norms as another run trained them for that domain; `starts` holds
    other tensors of a domain's delta that do not start at random.
    """

    def __init__(
        self, method: Method, seed: int, device: torch.device, norms: Mapping[str, Norms] | None = None,
        starts: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:  # fmt: skip
        self.method, self.seed, self.device = method, seed, device
        self.trunk = _place(method.trunk, device)
        self.shared = _place(method.shared, device)
        self.common = tensors(self.trunk) | tensors(self.shared)
        self.norms = norms or {}
        self.starts = starts or {}
        self.networks: dict[str, DomainNetwork] = {}

    def add(self, domain: str, classes: int) -> DomainNetwork:
        """Build the network of a domain; its random weights depend on the seed and the domain's name alone."""
        trunk = with_norms(self.trunk, self.norms[domain]) if domain in self.norms else self.trunk
        with seeded(self.seed, "network", domain):
            network = domain_network(self.method, trunk, domain, classes)
        places = dict(named_norms(self.trunk))
        inside = {place: norm for place, norm in self.norms.get(domain, {}).items() if place not in places}
        _set_norms(trunk_in(network) or nn.Module(), inside)
        self._begin(network, self.starts.get(domain, {}))
        self.networks[domain] = _place(network, self.device)
        return network

    @torch.no_grad()
    def _begin(self, network: DomainNetwork, start: Mapping[str, Tensor]) -> None:
        """Set tensors of a domain's delta by the names of `learned`; a head on other features starts anew."""
        own = {_unwrapped(network, name): tensor for name, tensor in delta(network, self.common).items()}
        if "head.weight" in start and start["head.weight"].shape != own["head.weight"].shape:
            start = {name: tensor for name, tensor in start.items() if not name.startswith("head.")}
        for name, tensor in start.items():
            if name in own or self.method.takes_norms:
                own[name].copy_(tensor)  # without norms of its own, the trunk's stay as they are

    def learned(self, domain: str) -> dict[str, Tensor]:
        """Return a domain's delta by names that do not say whether its norms are frozen."""
        network = self.networks[domain]
        return {_unwrapped(network, name): tensor for name, tensor in self.delta(domain).items()}

    def owns_norms(self, domain: str) -> bool:
        """Return whether the trunk inside a domain's network has other norms than the shared one."""
        trunk = trunk_in(self.networks[domain]) or nn.Module()
        return any(id(norm.weight) not in self.common for _, norm in named_norms(trunk))

    def delta(self, domain: str) -> dict[str, Tensor]:
        """Return a domain's delta: all its tensors that are neither the trunk's nor shared."""
        return delta(self.networks[domain], self.common)

    def stored(self, domain: str) -> dict[str, Tensor]:
        """Return a domain's delta as its file holds it."""
        return self.method.pack(self.delta(domain))

    @torch.no_grad()
    def load(self, domain: str, stored: Mapping[str, Tensor], source: str) -> None:
        """Put a stored delta into a domain's network; raises VerificationError where it does not fit exactly."""
        own = self.delta(domain)
        stored = self.method.unpack(stored, own)
        if own.keys() != stored.keys():
            odd = sorted(own.keys() ^ stored.keys())[0]
            raise _misfit(source, f"only one of them has '{odd}'")
        for name, tensor in own.items():
            if tensor.shape != stored[name].shape:
                raise _misfit(source, f"'{name}' has another shape")
            tensor.copy_(stored[name])

    def shared_state(self) -> dict[str, Tensor]:
        """Return the tensors of trunk and shared modules, as they are stored."""
        return nn.ModuleDict({"trunk": self.trunk, "shared": self.shared}).state_dict()

    def load_shared_state(self, stored: Mapping[str, Tensor]) -> None:
        """Put stored tensors into trunk and shared modules; raises RuntimeError where they do not fit exactly."""
        nn.ModuleDict({"trunk": self.trunk, "shared": self.shared}).load_state_dict(dict(stored))

    def plain(self, domain: str) -> bool:
        """Return whether the trunk inside a domain's network differs from the shared one in its norms at most."""
        trunk, places = trunk_in(self.networks[domain]) or nn.Module(), dict(named_norms(self.trunk))
        norms = tensors(nn.ModuleList(norm for place, norm in named_norms(trunk) if place in places))
        return tensors(trunk).keys() <= norms.keys() | self.common.keys()

    def fingerprint(self) -> str:
        """Return the SHA-256 of all tensors that the domains share."""
        return digest(self.shared_state())

    def footprint(self) -> Footprint:
        """Count the bits of trunk, shared modules and every domain."""
        default = Convention(heads=False, norms="in", nine=self.method.regime == "frozen")
        name = self.method.unit_name(self.trunk.name, self.method.options)
        with torch.device("meta"):
            unit = self.trunk if name == self.trunk.name else build(name, empty=True)
        # networks of their own need in prediction nothing that they shared in training
        shared = nn.ModuleDict() if self.method.regime == "private" else self.shared
        return count(self.trunk, shared, self.networks, self.method.bits, default, self.method.published, unit)

    @torch.no_grad()
    def average_norms(self) -> None:
        """Set the trunk's own norms to their mean over the domains, so that it can be used without any domain.

        A norm that no domain has, as none behind the heads of all, stays as it is.
        """
        bodies = [norms_of(network) for network in self.networks.values()]
        for name, norm in named_norms(self.trunk):
            having = [body[name] for body in bodies if name in body]
            for key, tensor in norm.state_dict().items() if having else ():
                tensor.copy_(torch.stack([body[key].double() for body in having]).mean(0))


def norms_of(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return the state of the norms of the trunk inside a domain's network, by path."""
    return {name: norm.state_dict() for name, norm in named_norms(trunk_in(network) or nn.Module())}


def with_norms(trunk: Trunk, norms: Norms) -> Trunk:
    """Return a copy of the trunk that shares its convolutions and has its own norms, set to `norms`."""
    copied = replace(share(trunk), norm=own_norm)
    _set_norms(copied, norms)
    return copied


@torch.no_grad()
def _set_norms(trunk: nn.Module, norms: Norms) -> None:
    """Set the norms that are in `norms`; a method may add others."""
    for name, norm in named_norms(trunk):
        for key, tensor in norm.state_dict().items() if name in norms else ():
            tensor.copy_(norms[name][key])


def _misfit(source: str, reason: str) -> VerificationError:
    return VerificationError(f"{source} does not fit this network: {reason}. Train it again.")


def _place(module: M, device: torch.device) -> M:
    return module.to(device).to(memory_format=torch.channels_last)


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


def domain_network(method: Method, trunk: Trunk, domain: str, classes: int) -> DomainNetwork:
    """Return the network of a domain, with random weights where it has any of its own."""
    body = method.network(trunk, domain)
    return DomainNetwork(body, getattr(body, "features", trunk.features), classes)


def _unwrapped(network: nn.Module, name: str) -> str:
    """Return the name of a tensor as if no norm stood in a `FrozenNorm`."""
    place = name.rpartition(".")[0]
    if place.endswith(".norm") and isinstance(network.get_submodule(place[: -len(".norm")]), FrozenNorm):
        return name.replace(place, place[: -len(".norm")], 1)
    return name


def trunk_in(network: nn.Module) -> Trunk | None:
    """Return the trunk inside a network, or None."""
    return next((part for part in network.modules() if isinstance(part, Trunk)), None)


def delta(network: nn.Module, shared: dict[int, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network that are not among the `shared` ones: those stored for its domain."""
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    held = {name for name, tensor in named if id(tensor) in shared}
    return {name: tensor for name, tensor in network.state_dict().items() if name not in held}
