"""Networks as graphs without Python code: torch-export (.pt2) and ONNX, for any number of images at a time."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from decathlon.inference.graph_metadata import KEY, need_onnx
from decathlon.models.layers import PointwiseConv
from decathlon.models.surgery import replace


def write_program(path: Path, network: nn.Module, images: Tensor, about: Mapping[str, Any]) -> None:
    """Write a network as `torch.export` does, with `about` in the extra file decathlon.json."""
    program, data = _program(network, images), io.BytesIO()  # a failed write in torch ends the whole process
    torch.export.save(program, data, extra_files={f"{KEY}.json": json.dumps(about)})
    path.write_bytes(data.getbuffer())


def read_program(path: Path) -> Callable[[Tensor], Tensor]:
    """Return the network in a torch-export file that this process wrote: one from elsewhere may run any code."""
    with path.open("rb") as file:
        module: Callable[[Tensor], Tensor] = torch.export.load(file).module()
    return module


def write_onnx(path: Path, network: nn.Module, images: Tensor, about: Mapping[str, Any]) -> None:
    """Write a network as ONNX, `images` -> `logits`, with `about` in its metadata."""
    need_onnx()
    import onnx

    graph = torch.onnx.export(_program(network, images), output_names=["logits"], dynamo=True, verbose=False)
    assert graph is not None
    model = graph.model_proto
    onnx.helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def read_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """Return the network in an ONNX file, run by ONNX's own reference implementation: exact, slow."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(str(path))

    def run(images: Tensor) -> Tensor:
        with np.errstate(all="ignore"):  # its sigmoid overflows on the way to the right 0 or 1
            return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

    return run


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """Return the graph of a network for (batch, 3, height, width) with the height and width of `images`."""
    program = torch.export.export(_served(network), (images,), dynamic_shapes=({0: Dim("batch")},))
    for node in program.graph.nodes:  # source lines of this machine are nobody else's business
        node.meta.pop("stack_trace", None)
    return program


def _served(network: nn.Module) -> nn.Module:
    """Return a copy for inference only: ordinary strided 1x1 convolutions, and weights in the plain layout."""
    plain = replace(copy.deepcopy(network), conv=_strided)
    return plain.to(memory_format=torch.contiguous_format)  # torch.export warns about any other when it saves


def _strided(conv: nn.Conv2d) -> nn.Conv2d:
    """Undo the detour of a pointwise convolution, which only matters to gradients."""
    if not isinstance(conv, PointwiseConv):
        return conv
    shape = conv.in_channels, conv.out_channels
    made = nn.Conv2d(*shape, 1, stride=conv.stride, bias=conv.bias is not None)  # type: ignore[arg-type]
    made.load_state_dict(conv.state_dict())
    return made.eval().requires_grad_(False)
