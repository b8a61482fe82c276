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
    tensors = {f"trunk.{name}": tensor for name, tensor in family.trunk.state_dict().items()}
    tensors |= {f"shared.{name}": tensor for name, tensor in family.shared.state_dict().items()}
    for domain, places in family.norms.items():
        for place, norm in places.items():
            tensors |= {f"norms/{domain}/{place}/{key}": tensor for key, tensor in norm.items()}
    write_tensors(run.start, tensors, {"name": family.trunk.name})


def read_start(run: Run, asked: dict[str, Any], device: torch.device) -> Family:
    """Rebuild the family as it was before the first step."""
    tensors, about = read_tensors(run.start)
    parts: dict[str, dict[str, Tensor]] = {"trunk": {}, "shared": {}}
    norms: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        if name.startswith("norms/"):
            _, domain, place, key = name.split("/")
            norms.setdefault(domain, {}).setdefault(place, {})[key] = tensor
        else:
            part, _, key = name.partition(".")
            parts[part][key] = tensor
    method = find_method(asked["method"])(build(about["name"]), asked["regime"])
    method.trunk.load_state_dict(parts["trunk"])
    method.shared.load_state_dict(parts["shared"])
    return Family(method, asked["seed"], device, norms)
