"""Tensors with metadata in safetensors files, written durably and read with one-sentence errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from decathlon.errors import DataError, DecathlonError, VerificationError
from decathlon.files import parse_json, replacing
from decathlon.trunks.trunk import digest


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any], keep: Path | None = None
) -> None:
    """Write tensors and a JSON object to `path`, durably; with `keep`, what was there gets that name."""
    # safetensors stores rows in order: channels_last weights are written in the plain layout
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one entry: safetensors writes several in random order, and equal runs must give equal files
    metadata = {"about": _sealed(plain, about)}
    with replacing(path, keep) as part:
        try:
            save_file(plain, part, metadata=metadata)
        except SafetensorError as error:
            raise DecathlonError(f"{path} cannot be written ({error}): check the disk's free space.") from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file and its JSON object.

    Raises DataError when it is missing or foreign, VerificationError when a bit is not what was written.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: check the run's name, or train it first.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}): copy it again or train again.") from None
    if "about" not in metadata:
        raise DataError(f"{path} is not a file of this toolkit: it says nothing about itself.")
    about = parse_json(metadata["about"].encode(), f"the metadata of {path}")
    if not isinstance(about, dict):
        raise DataError(f"the metadata of {path} is not a JSON object: copy it again or train again.")
    if "seal" in about:
        del about["seal"]
        whole = metadata["about"] == _sealed(tensors, about)
    else:  # from before the seal, when the tensors alone had a checksum
        whole = about.pop("digest", None) == digest(tensors)
    if not whole:
        raise VerificationError(f"{path} is damaged: it holds not what was written; copy it or train again.")
    return tensors, about


def _sealed(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Return `about` as JSON with a SHA-256 over itself and the tensors."""
    plain = json.dumps(about, allow_nan=False)
    seal = hashlib.sha256(f"{digest(tensors)}{plain}".encode()).hexdigest()
    return json.dumps({**about, "seal": seal}, allow_nan=False)
