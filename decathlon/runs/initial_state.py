"""What a run starts from, kept in its folder until it is done, so that a resumed run needs no other run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from decathlon.errors import VerificationError
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.runs.loading import method_of
from decathlon.runs.run_directory import Run
from decathlon.system.files import sha256
from decathlon.system.tensor_files import read_tensors, write_tensors


def write_start(run: Run, model: MultiDomainModel) -> None:
    """Write trunk, shared modules and what the domains start from."""
    tensors = model.shared_state()
    for domain, start in model.starts.items():
        # a copy: the same tensor may be among the norms, and the file format refuses memory that is shared
        tensors |= {f"starts/{domain}/{name}": tensor.clone() for name, tensor in start.items()}
    for domain, places in model.norms.items():
        for place, norm in places.items():
            tensors |= {f"norms/{domain}/{place}/{key}": tensor for key, tensor in norm.items()}
    write_tensors(run.start, tensors, {"name": model.trunk.name})


def read_start(run: Run, asked: dict[str, Any], device: torch.device) -> MultiDomainModel:
    """Rebuild the family as it was before the first step."""
    if not run.start.is_file():
        raise VerificationError(f"{run.start} is missing, the run cannot go on: put back a copy or train again.")
    if asked.get("start", sha256(run.start)) != sha256(run.start):
        raise VerificationError(f"{run.start} is not what the run began with: put back its own, or train again.")
    tensors, about = read_tensors(run.start, {"name": str})
    if about["name"] != asked["trunk"]["name"]:
        raise VerificationError(f"{run.start} starts from another trunk than run.json says: train again.")
    norms: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name in [name for name in tensors if name.startswith("norms/")]:
        _, domain, place, key = name.split("/")
        norms.setdefault(domain, {}).setdefault(place, {})[key] = tensors.pop(name)
    starts: dict[str, dict[str, Tensor]] = {}
    for name in [name for name in tensors if name.startswith("starts/")]:
        _, domain, place = name.split("/")
        starts.setdefault(domain, {})[place] = tensors.pop(name)
    model = MultiDomainModel(method_of(run, asked), asked["seed"], device, norms, starts)
    try:
        model.load_shared_state(tensors)
    except RuntimeError as error:
        raise VerificationError(
            f"{run.start} does not fit {about['name']} ({str(error).splitlines()[0]}): train again."
        ) from None
    return model
