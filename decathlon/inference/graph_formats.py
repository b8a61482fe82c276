"""Networks as graphs without Python code: torch-export (.pt2) and onnx, for any number of images at a time."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from decathlon.errors import DataError, UsageError
from decathlon.inference.graph_metadata import read_extra, read_metadata
from decathlon.models.layers import PointwiseConv
from decathlon.models.surgery import replace
from decathlon.system.strict_json import parse_json

KEY = "decathlon"  # of the description in either format
SEAL = "decathlon.sha256"  # of the metadata in an ONNX file: the format has no checksum
ONNX_LARGEST = 1 << 31  # bytes


def write_program(path: Path, network: nn.Module, images: Tensor, about: Mapping[str, Any]) -> None:
    """Write a network as `torch.export` does, with `about` in the extra file decathlon.json."""
    program, data = _program(network, images), io.BytesIO()  # a failed write in torch ends the whole process
    torch.export.save(program, data, extra_files={f"{KEY}.json": json.dumps(about)})
    path.write_bytes(data.getbuffer())


def read_program(path: Path) -> Callable[[Tensor], Tensor]:
    """Return the network in a torch-export file that this process wrote: a stranger's may run anything."""
    with path.open("rb") as file:
        module: Callable[[Tensor], Tensor] = torch.export.load(file).module()
    return module


def write_onnx(path: Path, network: nn.Module, images: Tensor, about: Mapping[str, Any]) -> None:
    """Write a network as ONNX, `images` -> `logits`, with `about` in its metadata; raises UsageError as below."""
    need_onnx()
    import onnx

    graph = torch.onnx.export(_program(network, images), output_names=["logits"], dynamo=True, verbose=False)
    assert graph is not None
    model = graph.model_proto
    onnx.helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    path.write_bytes(data + _onnx_seal(data))


def read_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """Return the network in an ONNX file, run by ONNX's own reference implementation: exact, slow."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))

    def run(images: Tensor) -> Tensor:
        with np.errstate(all="ignore"):  # its sigmoid overflows on the way to the right 0 or 1
            return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    return run


def read_about(path: Path) -> dict[str, Any]:
    """Return the description in a file of either format; nothing in the file is run, and memory is bounded.

    Raises DataError, and of ONNX what its library raises, for another file and for damage.
    """
    told = _onnx_about(path) if path.suffix == ".onnx" else read_extra(path, f"{KEY}.json")
    about = parse_json(told, f"the description in {path}")
    if not isinstance(about, dict):
        raise DataError(f"the description in {path} is not a JSON object: merge it again.")
    return about


def _onnx_about(path: Path) -> bytes:
    need_onnx()
    if path.stat().st_size >= ONNX_LARGEST:
        raise DataError(f"{path} is no ONNX file: the format ends at 2 GiB.")
    data = path.read_bytes()
    entries = read_metadata(path, data)
    if SEAL in entries and not data.endswith(_onnx_seal(data[: -len(_onnx_seal(b""))])):
        raise ValueError("its SHA-256 is not that of what it holds")
    return entries[KEY].encode()


def _onnx_seal(data: bytes) -> bytes:
    """Return what is written behind an ONNX file: one more entry of its metadata, the SHA-256 of all before it.

    Files in this format may be put together from parts: what stands twice in them is a longer list.
    """
    import onnx

    tail = onnx.ModelProto()
    onnx.helper.set_model_props(tail, {SEAL: hashlib.sha256(data).hexdigest()})
    return bytes(tail.SerializeToString())


def need_onnx() -> None:
    """Raise UsageError where the packages that write ONNX are not installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"onnx files need {' and '.join(missing)}: pip install 'visual-decathlon[onnx]'.")


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """Return the graph of a network for (batch, 3, height, width) with the height and width of `images`."""
    program = torch.export.export(_served(network), (images,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:  # which lines of which files on this machine made it is nobody else's
        node.meta.pop("stack_trace", None)
    return program


def _served(network: nn.Module) -> nn.Module:
    """Return a copy for inference alone: ordinary strided 1x1 convolutions, and weights in the plain layout."""
    plain = replace(copy.deepcopy(network), conv=_strided)
    return plain.to(memory_format=torch.contiguous_format)  # torch-export warns of others when it saves


def _strided(conv: nn.Conv2d) -> nn.Conv2d:
    """Undo the detour of a pointwise convolution, which only matters to gradients."""
    if not isinstance(conv, PointwiseConv):
        return conv
    shape = conv.in_channels, conv.out_channels
    made = nn.Conv2d(*shape, 1, stride=conv.stride, bias=conv.bias is not None)  # type: ignore[arg-type]
    made.load_state_dict(conv.state_dict())
    return made.eval().requires_grad_(False)
