"""Prediction with many domains at once: one pass of the trunk for all that read the same taps.

Networks whose trunk is the very same tensors in evaluation mode (`feature`, `mtan`, `dense` and `split` with
`norms=trunk`) share its taps; others run whole. Networks must be in evaluation mode.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from decathlon.errors import UsageError, unknown
from decathlon.inference.merging import merge
from decathlon.models.multi_domain_model import DomainNetwork, trunk_in
from decathlon.models.surgery import tensors
from decathlon.models.trunks.trunk import Trunk


def predict_all(networks: Mapping[str, DomainNetwork], images: Tensor) -> dict[str, Tensor]:
    """Return the logits (batch, classes) of every domain for the same images (batch, 3, height, width).

    Raises UsageError for a network in training mode.
    """
    _refuse_training(networks)
    logits: dict[str, Tensor] = {}
    for names in sharing(networks):
        taps = _taps(networks[names[0]], images) if len(names) > 1 else ()
        for name in names:
            logits[name] = _logits(networks[name], taps, images)
    return {name: logits[name] for name in networks}


def predict_mixed(networks: Mapping[str, DomainNetwork], images: Tensor, domains: Sequence[str]) -> list[Tensor]:
    """Return the logits (classes,) of each image by the network of its own domain.

    The trunk sees all images of domains that share it in one batch, each domain's own modules those of the domain.
    Raises UsageError for a network in training mode, a domain without a network, and a wrong number of domains.
    """
    _refuse_training(networks)
    if isinstance(domains, str) or len(domains) != len(images):
        raise UsageError(f"there are {len(images)} images. Give the domain of each of them, in a list.")
    for name in domains:
        if name not in networks:
            raise unknown("domain", name, networks)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(domains):
        rows[name].append(row)
    found: list[Tensor] = [images.new_empty(0)] * len(domains)
    for names in sharing({name: networks[name] for name in rows}):
        of_group = [row for name in names for row in rows[name]]
        taps = _taps(networks[names[0]], images[of_group]) if len(names) > 1 else ()
        parts = [torch.split(tap, [len(rows[name]) for name in names]) for tap in taps]
        for i, name in enumerate(names):
            logits = _logits(networks[name], tuple(part[i] for part in parts), images[rows[name]])
            for row, one in zip(rows[name], logits, strict=True):
                found[row] = one
    return found


def merge_all(networks: Mapping[str, DomainNetwork]) -> dict[str, DomainNetwork]:
    """Return plain copies, adapters merged and norms folded; those that shared a trunk share it again."""
    plain = {name: merge(network) for name, network in networks.items()}
    for first, *others in sharing(networks):
        for name in others:
            plain[name].set_submodule(_place(plain[name]), plain[first].get_submodule(_place(plain[first])))
    return plain


def _place(network: DomainNetwork) -> str:
    """Return the place of the trunk in a network; it differs between methods."""
    place: str = next(place for place, part in network.named_modules() if isinstance(part, Trunk))
    return place


def sharing(networks: Mapping[str, DomainNetwork]) -> list[list[str]]:
    """Return the names grouped by the taps that their networks read; a network that reads none is alone."""
    groups: dict[frozenset[int] | str, list[str]] = defaultdict(list)
    for name, network in networks.items():
        trunk = trunk_in(network)
        norms = (part for part in trunk.modules() if isinstance(part, nn.BatchNorm2d)) if trunk else ()
        if trunk and hasattr(network.body, "read") and not any(norm.training for norm in norms):
            groups[frozenset(tensors(trunk))].append(name)
        else:  # also where a norm would use, and change, the statistics of the batch
            groups[name].append(name)
    return list(groups.values())


def _refuse_training(networks: Mapping[str, DomainNetwork]) -> None:
    """Raise UsageError for networks that would use, and keep, the statistics of the batch."""
    for name, network in networks.items():
        if network.training:
            raise UsageError(f"the network of {name} is in training mode. Call its eval() first.")


def _taps(network: DomainNetwork, images: Tensor) -> tuple[Tensor, ...]:
    trunk = trunk_in(network)
    assert trunk is not None
    return trunk.taps(images)


def _logits(network: DomainNetwork, taps: tuple[Tensor, ...], images: Tensor) -> Tensor:
    """Return logits from the taps of a shared trunk, or from the images where there are none."""
    reader: Any = network.body  # `sharing` groups only bodies that can read taps
    logits: Tensor = network.head(reader.read(taps)) if taps else network(images)
    return logits
