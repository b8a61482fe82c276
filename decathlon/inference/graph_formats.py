"""Networks as graphs without Python code: torch-export (.pt2) and ONNX, for any number of images at a time.

The description in such a file is read without running or unpickling anything in it.
"""

import copy
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from decathlon.data.zips import DAMAGE
from decathlon.errors import DataError, UsageError
from decathlon.models.layers import PointwiseConv
from decathlon.models.surgery import replace
from decathlon.system.strict_json import parse_json

KEY = "decathlon"  # of the description in either format
LARGEST = 1 << 20  # bytes of a description: 1 MiB; one with a thousand categories takes some 60 kB
ONNX_LARGEST = 1 << 31  # bytes


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


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the description in a file of either format; raises DataError for damage and for a foreign file."""
    text = _from_onnx(path) if path.suffix == ".onnx" else _from_zip(path, f"{KEY}.json")
    if len(text) > LARGEST:
        raise DataError(f"{path} was not written by this toolkit: its description exceeds 1 MiB.")
    about = parse_json(text, f"the description in {path}")
    if not isinstance(about, dict):
        raise DataError(f"the description in {path} is not a JSON object. Merge it again.")
    return about


def need_onnx() -> None:
    """Raise UsageError unless the packages for ONNX files are installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"ONNX files need {' and '.join(missing)}. Run pip install 'visual-decathlon[onnx]'")


def _from_onnx(path: Path) -> bytes:
    need_onnx()
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size >= ONNX_LARGEST:
        raise DataError(f"{path} is not an ONNX file: the format has a limit of 2 GiB.")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(f"{path} is damaged or not an ONNX file ({error}). Merge it again.") from None
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if len(found) != 1:
        raise _undescribed(path)
    text = found[0]
    return text if isinstance(text, bytes) else str(text).encode()  # protobuf leaves bytes that are not UTF-8


def _from_zip(path: Path, name: str) -> bytes:
    """Return the extra file of that name in a torch-export file once the checksums of all members are right.

    The file is an uncompressed zip with a checksum per member. It is read without torch, which would unpickle what
    is in it. Memory is bounded whatever sizes the file declares.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _refuse_foreign(path, members)
            if wrong := archive.testzip():
                raise DataError(f"{path} is damaged: {wrong} does not match its checksum. Merge it again.")
            found = [member for member in members if member.filename.partition("/")[2] == f"extra/{name}"]
            if len(found) != 1:
                raise _undescribed(path)
            with archive.open(found[0]) as member:
                return member.read(LARGEST + 1)
    except (OSError, *DAMAGE) as error:
        raise DataError(f"{path} is damaged or not a torch-export file ({error}). Merge it again.") from None


def _refuse_foreign(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise DataError for members that are compressed, encrypted, duplicated or together larger than the file."""
    names = {member.filename for member in members}
    packed = any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members)
    declared = sum(max(member.file_size, member.compress_size) for member in members)
    if packed or len(names) < len(members) or declared > path.stat().st_size:
        raise DataError(f"{path} was not written by torch: its members are compressed or overlap. Merge it again.")


def _undescribed(path: Path) -> DataError:
    return DataError(f"{path} has no description. Write one with decathlon merge.")
