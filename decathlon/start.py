"""What a run starts from, kept in its folder until it is done, so that a resumed run needs no other run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from decathlon.family import Family
from decathlon.method import find_method
from decathlon.run import Run
from decathlon.storage import read_tensors, write_tensors
from decathlon.trunks import build


def write_start(run: Run, family: Family) -> None:
    """Write trunk, shared modules and the domains' starting norms."""
    tensors = family.shared_state()
    for domain, places in family.norms.items():
        for place, norm in places.items():
            tensors |= {f"norms/{domain}/{place}/{key}": tensor for key, tensor in norm.items()}
    write_tensors(run.start, tensors, {"name": family.trunk.name})


def read_start(run: Run, asked: dict[str, Any], device: torch.device) -> Family:
    """Rebuild the family as it was before the first step."""
    tensors, about = read_tensors(run.start)
    norms: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name in [name for name in tensors if name.startswith("norms/")]:
        _, domain, place, key = name.split("/")
        norms.setdefault(domain, {}).setdefault(place, {})[key] = tensors.pop(name)
    method = find_method(asked["method"])(build(about["name"], empty=True), asked["regime"])
    family = Family(method, asked["seed"], device, norms)
    family.load_shared_state(tensors)
    return family
