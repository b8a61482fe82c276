"""Tensors with metadata in safetensors files, written durably and read strictly."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.system.checksums import RESTORE
from decathlon.system.files import aside, read_bytes, replacing
from decathlon.system.resources import lacks_memory, out_of_memory, unwritable
from decathlon.system.schema import check, within
from decathlon.system.strict_json import parse_json

Tensors = Mapping[str, Tensor]
HEADER = 16 << 20  # bytes: the names of 200,000 classes
MOST = 50_000  # tensors of a file; ten domains of ViT size and their optimizers make some thousand
SEALED = "all:"  # begins the digest, which covers tensors and metadata


def write_tensors(path: Path, tensors: Tensors, about: Mapping[str, Any], keep: Path | None = None) -> None:
    """Write tensors and a JSON object to `path`, durably; with `keep`, what was there gets that name."""
    if len(tensors) > MOST:  # nothing would read it again
        raise UsageError(f"{len(tensors):,} tensors are too many for {path}. Train fewer domains at once.")
    # safetensors stores rows in order: channels_last weights are written in the plain layout
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    seal = _seal(digest(plain), json.dumps(about, allow_nan=False))
    # one entry: safetensors writes several in random order, and equal runs must give equal files
    metadata = {"about": json.dumps({**about, "digest": seal}, allow_nan=False)}
    # safetensors renames a temporary file of its own, which nothing would remove after a kill
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
    """Read a file once, to its end; its JSON object must match `shape` (see `decathlon.system.schema`).

    Raises DataError where the file is missing or foreign, VerificationError where a bit has changed.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder. Name a file; a run directory is read by 'decathlon.load_run'.")
    if not path.is_file():
        raise DataError(f"{path} does not exist. Check the run's name, or train it first.")
    data = read_bytes(path)
    tensors, metadata = _parse(path, data)
    values = digest(tensors)
    if "about" not in metadata:
        raise DataError(f"{path} was not written by decathlon: it has no metadata. Choose another file.")
    about = parse_json(metadata["about"].encode(), f"the metadata of {path}", most=HEADER)
    if not isinstance(about, dict):
        raise DataError(f"the metadata of {path} is not a JSON object. {RESTORE}.")
    found = about.pop("digest", None)
    try:
        # equal JSON in another spelling is not what was written either
        whole = metadata["about"] == json.dumps({**about, "digest": found})
        whole = whole and found == _seal(values, json.dumps(about))
    except RecursionError:
        whole = False
    if not whole:
        raise VerificationError(f"{path} is damaged: its content does not match its checksum. {RESTORE}.")
    check(about, shape, f"the metadata of {path}", RESTORE)
    return TensorFile(tensors, about, hashlib.sha256(data).hexdigest())


def count_numbers(path: Path) -> int:
    """Return how many numbers a file holds, as its header says; raises DataError where that cannot be read."""
    try:
        with path.open("rb") as file:
            length = file.read(8)
            begin = length + file.read(min(HEADER, int.from_bytes(length, "little")))
        header = _header(path, begin, path.stat().st_size)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. {RESTORE}.") from None
    tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
    check(tensors, [{"shape": [within(int, 0, 2**48)]}], f"the header of {path}", RESTORE)
    return sum(math.prod(tensor["shape"]) for tensor in tensors)


def _seal(values: str, text: str) -> str:
    return SEALED + hashlib.sha256(f"{values} {text}".encode()).hexdigest()


def _reason(error: SafetensorError) -> OSError | str:
    """Return the system's error inside an error of safetensors, or else its text."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return str(error) if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def _header(path: Path, data: bytes, size: int) -> dict[str, Any]:
    """Return the header in the first bytes of a file of that size."""
    length = int.from_bytes(data[:8], "little")
    if length > min(HEADER, size):
        problem = f"its header would have {length:,} bytes"
        raise DataError(f"{path} is cut short or not a safetensors file: {problem}. {RESTORE}.")
    header = parse_json(data[8 : 8 + length], f"the header of {path}", most=HEADER)
    if not isinstance(header, dict):
        raise DataError(f"{path} cannot be read (its header is not a JSON object). {RESTORE}.")
    if len(header) > MOST:
        raise DataError(f"{path} holds {len(header):,} tensors, the limit is {MOST:,}. {RESTORE}.")
    return header


def _parse(path: Path, data: bytes) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return tensors and metadata; safetensors raises anything for types and shapes that torch does not have."""
    header = _header(path, data, len(data))
    try:
        tensors = load(data)
    except (SafetensorError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if lacks_memory(error):
            raise out_of_memory(error, f"reading {path}") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read ({reason}). {RESTORE}.") from None
    return tensors, header.get("__metadata__") or {}


def fingerprint(module: nn.Module) -> str:
    """Return a SHA-256 over names, shapes and values of all parameters and buffers."""
    return digest(module.state_dict())


def digest(tensors: Tensors) -> str:
    """Return a SHA-256 over names, types, shapes and values of tensors."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        sha.update(f"{name}:{values.dtype}:{tuple(values.shape)};".encode())
        sha.update(values.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()
