"""What a run starts from, kept in its folder until it is done, so that a resumed run needs no other run."""

import torch
from torch import Tensor

from decathlon.errors import VerificationError
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.runs.loading import recorded_method
from decathlon.runs.record import RunRecord
from decathlon.runs.run_directory import Run
from decathlon.system.tensor_files import read_tensor_file, write_tensors


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


def read_start(run: Run, record: RunRecord, device: torch.device) -> MultiDomainModel:
    """Rebuild the model as it was before the first step."""
    if not run.start.is_file():
        raise VerificationError(f"{run.start} is missing, and the run cannot resume without it. Restore a copy.")
    tensors, about, digest = read_tensor_file(run.start, {"name": str})
    if digest != record.start:
        raise VerificationError(f"{run.start} is not what this run began with. Restore the original.")
    if about["name"] != record.trunk.name:
        raise VerificationError(f"{run.start} starts from another trunk than run.json says. Restore the original.")
    norms: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name in [name for name in tensors if name.startswith("norms/")]:
        _, domain, place, key = name.split("/")
        norms.setdefault(domain, {}).setdefault(place, {})[key] = tensors.pop(name)
    starts: dict[str, dict[str, Tensor]] = {}
    for name in [name for name in tensors if name.startswith("starts/")]:
        _, domain, place = name.split("/")
        starts.setdefault(domain, {})[place] = tensors.pop(name)
    model = MultiDomainModel(recorded_method(run, record), record.seed, device, norms, starts)
    try:
        model.load_shared_state(tensors)
    except RuntimeError as error:
        raise VerificationError(
            f"{run.start} does not fit {about['name']} ({str(error).splitlines()[0]}). Train again."
        ) from None
    return model
