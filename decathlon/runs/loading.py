"""From a run directory back to its networks, every file of it checked against the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.models.method import Method
from decathlon.models.multi_domain_model import MultiDomainModel, norms_of
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.run_directory import TRUNK, Run
from decathlon.system.device import find_device
from decathlon.system.tensor_files import read_tensors


def load_run(folder: str | Path, device: str | None = None) -> MultiDomainModel:
    """Return the networks of a finished run, ready to predict.

    `networks` maps every domain to an ordinary module in evaluation mode that takes normalised images
    (batch, 3, height, width) and returns logits (batch, classes), in the order of the domain's categories.
    `device` is cpu, cuda or cuda:N, by default a GPU where there is one. Raises DataError where the folder holds no
    run, UsageError for a run that is not finished or a group of runs, and VerificationError for damaged files.
    """
    run = Run(Path(folder))
    run.read_done()
    model = load_model(run, find_device(device))
    for network in model.networks.values():
        network.eval()
    return model


def load_model(run: Run, device: torch.device) -> MultiDomainModel:
    """Rebuild what a run trained: trunk, shared modules and every finished domain's network, on `device`.

    Raises VerificationError when trunk or domain files do not belong together.
    """
    asked = run.read()
    method = method_of(run, asked)
    # domains that began from norms of their own have a place for them; what stands there now is overwritten
    norms = dict.fromkeys(asked["starts_from_own_norms"], norms_of(method.trunk))
    model = MultiDomainModel(method, asked["seed"], device, norms)
    identity = ""
    if method.regime != "private":
        identity = _load_shared(run, model)
    for entry in asked["domains"]:
        if run.domain(entry["name"]).is_file():
            _load_domain(run, model, asked, entry, identity)
    if asked["status"] == "done":
        run.check_files()  # last: what was found before says more
    return model


def _load_domain(
    run: Run, model: MultiDomainModel, asked: Mapping[str, Any], entry: Mapping[str, Any], identity: str
) -> None:
    """Load a domain's file into a family; `entry` is what run.json says of it."""
    file = run.domain(entry["name"])
    stored, about = run.read_domain(entry["name"], identity)
    if about.get("method") != asked["method"]:
        raise VerificationError(f"{file} holds method {about.get('method')}: train again.")
    if about["categories"] != entry["categories"]:
        raise VerificationError(f"{file} has other categories than run.json says: train again.")
    model.add(entry["name"], len(entry["categories"]))
    model.load(entry["name"], stored, str(file))


def method_of(run: Run, asked: Mapping[str, Any]) -> Method:
    """Return the method of a run over its trunk with weights to be loaded; raises DataError where there is none."""
    try:
        return asked_method(asked, build(asked["trunk"]["name"], empty=True))
    except UsageError as error:  # what was asked was checked when training began: the file says something else now
        raise DataError(f"{run.folder / 'run.json'} is damaged or not of this release: {error}") from None


def asked_method(asked: Mapping[str, Any], trunk: Trunk) -> Method:
    """Return the method a run was asked for, over a trunk."""
    kind = find_method(asked["method"])
    return kind(trunk, asked["regime"], kind.choose(asked["options"]))


def _load_shared(run: Run, model: MultiDomainModel) -> str:
    """Load trunk.safetensors into a family; return its fingerprint after checking that it is what was written."""
    tensors, about = read_tensors(run.trunk, TRUNK)
    try:
        model.load_shared_state(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise VerificationError(
            f"{run.trunk} does not fit {model.trunk.name} ({reason}): put back the trunk of its own run."
        ) from None
    identity = model.fingerprint()
    if about.get("fingerprint") != identity:
        raise VerificationError(f"{run.trunk} is damaged: its fingerprint is not what was written; copy it again.")
    return identity
