"""Tensors with metadata in safetensors files, written durably and read with one-sentence errors."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from decathlon.errors import DataError, VerificationError
from decathlon.system.files import aside, read_bytes, refuse_link, replacing
from decathlon.system.resources import lacks_memory, out_of_memory, unwritable
from decathlon.system.schema import check
from decathlon.system.strict_json import parse_json

HEADER = 16 << 20  # bytes; ten domains of ViT size need less than one MiB
SEALED = "all:"  # before a digest that covers the metadata too; without it, from before that was so


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any], keep: Path | None = None
) -> None:
    """Write tensors and a JSON object to `path`, durably; with `keep`, what was there gets that name.

    Raises DataError for a link: nobody but the project names these files.
    """
    refuse_link(path)
    # safetensors stores rows in order: channels_last weights are written in the plain layout
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    seal = _seal(digest(plain), json.dumps(about, allow_nan=False))
    # one entry: safetensors writes several in random order, and equal runs must give equal files
    metadata = {"about": json.dumps({**about, "digest": seal}, allow_nan=False)}
    # safetensors renames a temporary of its own, which after a kill nobody would remove
    with replacing(path, keep) as part, aside(part) as folder:
        try:
            save_file(plain, folder / "tensors", metadata=metadata)
            os.replace(folder / "tensors", part)
        except SafetensorError as error:  # as "Error while serializing: I/O error: File too large (os error 27)"
            raise unwritable(path, _reason(error)) from None


class TensorFile(NamedTuple):
    """What a file holds: its tensors, the JSON object that describes them, and the SHA-256 of the whole file."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str


def read_tensors(path: Path, shape: Any = dict) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file and its JSON object: `read_tensor_file` without the SHA-256."""
    return read_tensor_file(path, shape)[:2]


def read_tensor_file(path: Path, shape: Any = dict) -> TensorFile:
    """Read a file once, to its end; its JSON object must have a `shape` (see `decathlon.system.schema`).

    Raises DataError when it is missing or foreign, VerificationError when a bit is not what was written.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: check the run's name, or train it first.")
    data = read_bytes(path)
    tensors, metadata = _parse(path, data)
    values = digest(tensors)
    if "about" not in metadata:
        raise DataError(f"{path} is not a file of this toolkit: it says nothing about itself.")
    about = parse_json(metadata["about"].encode(), f"the metadata of {path}")
    if not isinstance(about, dict):
        raise DataError(f"the metadata of {path} is not a JSON object: copy it again or train again.")
    found = about.pop("digest", None)
    sealed = isinstance(found, str) and found.startswith(SEALED)
    try:
        whole = found == (_seal(values, json.dumps(about)) if sealed else values)
        # the same said in other words is no whole file either
        whole &= not sealed or metadata["about"] == json.dumps({**about, "digest": found})
    except RecursionError:
        whole = False
    if not whole:
        raise VerificationError(f"{path} is damaged: it does not hold what was written; copy it or train again.")
    check(about, shape, f"the metadata of {path}", "copy it again or train again")
    return TensorFile(tensors, about, hashlib.sha256(data).hexdigest())


def _seal(values: str, text: str) -> str:
    return SEALED + hashlib.sha256(f"{values} {text}".encode()).hexdigest()


def _reason(error: SafetensorError) -> OSError | str:
    """Return the system's error in what safetensors says, or its words where there is none."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return str(error) if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def _parse(path: Path, data: bytes) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return tensors and metadata.

    The library has no errors of its own for types and shapes that torch does not know.
    """
    length = int.from_bytes(data[:8], "little")
    if length > min(HEADER, len(data)):
        raise DataError(f"{path} is no safetensors file or cut short: its header would have {length:,} bytes.")
    try:
        tensors = load(data)
    except (SafetensorError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if lacks_memory(error):
            raise out_of_memory(error, f"reading {path}") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read ({reason}): copy it again or train again.") from None
    metadata: Mapping[str, str] = (
        parse_json(data[8 : 8 + length], f"the header of {path}").get("__metadata__") or {}
    )
    return tensors, metadata


def fingerprint(module: nn.Module) -> str:
    """Return a SHA-256 over names, shapes and values of all parameters and buffers."""
    return digest(module.state_dict())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, types, shapes and values of tensors."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        sha.update(f"{name}:{values.dtype}:{tuple(values.shape)};".encode())
        sha.update(values.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()
