"""A merged network in a safetensors file, with everything needed to rebuild and serve it.

The JSON object in the file:

    format, domain, trunk
    categories   [{id, name}], in the order of the logits
    input        size: side in pixels of the square that the network sees, the centre of a resized image;
                 resize: the side of that image, of which `crop` makes the shorter, `squash` both, `full` the
                 longer (with bars in the mean colour); bicubic; mean, std: of RGB in 0..1, subtracted and divided
                 by; packing: what happened to an image file before that, where the packed file says so: see
                 `Packing` in decathlon/data/domains.py (`to_input` does all of it)
    plain        whether the body has the structure of the trunk and nothing else
    folded       {place of a folded norm: the convolution it was folded into}
    run          the record of the run: method, regime, recipe, fit, seed, benchmark, versions, ...

Places are relative to the network: `body.stage1.0.bn1`. A convolution has a bias where the file holds one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from decathlon.data.decoding import packed_pixels, plain_pixels
from decathlon.data.domains import PACKING, Domain, packing_of
from decathlon.data.image_pool import ImagePool, fit
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.inference.graph_formats import read_metadata
from decathlon.inference.merging import drop_norm, without_adapters
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.models.surgery import bounded
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.loading import make_method
from decathlon.runs.record import RunRecord
from decathlon.system.schema import check, within
from decathlon.system.seeding import seeded
from decathlon.system.tensor_files import read_tensors, write_tensors

FORMAT = "decathlon-merged-1"
SMALL = 40_000_000  # numbers, of wrn-28-10, that any file may ask for: 160 MB
OTHERS = {  # formats of `decathlon merge` that load without this toolkit
    ".pt2": ("a torch-export", "torch.export.load({!r}).module()"),
    ".onnx": ("an ONNX", "onnxruntime.InferenceSession({!r})"),
}
SHAPE = {  # of the JSON object
    "domain": str,
    "trunk": str,
    "categories": [{"id": int, "name": str}],
    "input": {
        "size": within(int, 8, 4096),
        "resize": within(int, 8, 8192),
        "crop": Literal["crop", "squash", "full"],
        "mean": [within(float, 0, 1)],
        "std": [within(float, 0, 1)],
        "packing?": PACKING,
    },
    "plain": bool,
    "folded": {str: str},
    "run": {"method": str, "regime": Literal["frozen", "joint", "private"], "options": dict},
}
OF_THE_MACHINE = ("format", "status", "data", "domains", "device", "threads", "files")  # not needed to serve


def describe(
    network: DomainNetwork, domain: Domain, record: RunRecord, folded: Mapping[str, str]
) -> dict[str, Any]:
    """Return the JSON object of a merged network, from the record of its run and which norms were folded."""
    recipe = record.recipe.for_domain(domain.name)
    about: dict[str, Any] = {
        "format": FORMAT,
        "domain": domain.name,
        "categories": [vars(category) for category in domain.categories],
        "input": {
            "size": recipe.eval_cut, "resize": recipe.resize, "crop": record.recipe.facts(domain).crop,
            "mean": domain.mean, "std": domain.std,
        },
        "trunk": record.trunk.name,
        "plain": isinstance(network.body, Trunk),
        "folded": dict(folded),
        "run": {key: value for key, value in record.to_json().items() if key not in OF_THE_MACHINE},
    }  # fmt: skip
    about["run"]["trunk"] = {"name": record.trunk.name}  # where its weights came from was a path
    if domain.packing is not None:
        about["input"]["packing"] = vars(domain.packing)
    if about["plain"]:  # a trunk whose adapters cannot be merged is rebuilt through its method
        shapes = [
            {name: tensor.shape for name, tensor in made.state_dict().items()}
            for made in (network, _structure(network.state_dict(), about))
        ]
        about["plain"] = shapes[0] == shapes[1]
    return about


def save_merged(path: Path, network: nn.Module, about: Mapping[str, Any]) -> None:
    """Write a merged network with its description, durably."""
    write_tensors(path, network.state_dict(), about)


def load_merged(path: Path | str) -> nn.Module:
    """Return the network in a file of `decathlon merge`, (batch, 3, size, size) -> logits (batch, classes).

    It is in evaluation mode, without gradients. Raises DataError for a file of another kind and
    VerificationError when its parts do not fit together.
    """
    path = Path(path)
    tensors, about = _read(path)
    try:
        held = sum(tensor.numel() for tensor in tensors.values())
        # adapters that are taken in come on top, and a network may be the first stages of its trunk alone
        network = bounded(max(4 * held, SMALL), lambda: _structure(tensors, about))
        network.load_state_dict(tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise VerificationError(f"{path} does not fit {about.get('trunk')} ({reason}). Merge it again.") from None
    return network.to(memory_format=torch.channels_last)


def description(path: Path | str) -> dict[str, Any]:
    """Return the description in a file of `decathlon merge`, in any format: the JSON object above."""
    path = Path(path)
    if path.suffix not in OTHERS or not path.is_file():
        return _read(path)[1]
    return _checked(path, read_metadata(path))


def to_input(image: Image.Image, about: Mapping[str, Any]) -> Tensor:
    """Return an image as the network with this description expects it, (3, size, size): its centre, normalised.

    First it becomes what `data add` or `data prepare` made of such an image, upright or not, as far as the
    description says it. Raises DataError for an image that they refuse.
    """
    if not isinstance(image, Image.Image):
        raise UsageError(f"{image!r} is not an image. Open it with PIL.Image.open first.")
    spec, name = about["input"], str(getattr(image, "filename", "") or "the image")
    facts = Domain("image", 0, (), spec["mean"], spec["std"], crop=spec["crop"])
    how = packing_of(spec["packing"]) if "packing" in spec else None
    rgb = (
        plain_pixels(image, name) if how is None else packed_pixels(image, name, how.side, how.enlarge, how.upright)
    )
    pixels = fit(np.asarray(rgb), facts.crop, spec["resize"], facts.mean)
    return ImagePool(facts, [pixels], torch.tensor([-1]), [0], spec["size"]).batch(torch.tensor([0]))[0]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors, about = read_tensors(path)
    except DataError:
        if path.suffix not in OTHERS or not path.is_file():
            raise
        kind, loader = OTHERS[path.suffix]
        problem = f"{path} is {kind} file, not safetensors"
        raise DataError(f"{problem}. Load it with {loader.format(str(path))}") from None
    return tensors, _checked(path, about)


def _checked(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object of a file; raises DataError when it does not describe a merged network."""
    if about.get("format") != FORMAT:
        raise DataError(f"{path} is not a merged network. Make one with 'decathlon merge RUN DOMAIN -o FILE'.")
    check(about, SHAPE, f"the metadata of {path}", "merge it again")
    return about


def _has(tensors: Mapping[str, Tensor], place: str) -> bool:
    return any(name.startswith(f"{place}.") for name in tensors)


def _structure(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> DomainNetwork:
    """Return an untrained network into which the tensors of a file fit."""
    classes, features = tensors["head.weight"].shape
    with seeded("merged"):
        trunk = build(about["trunk"], empty=True)
        body: nn.Module = trunk
        if not about["plain"]:
            run = about["run"]
            body = make_method(run["method"], run["regime"], run["options"], trunk).network(trunk, about["domain"])
        network = DomainNetwork(body, features, classes)
        for name, part in network.named_modules():
            if callable(leave_out := getattr(part, "leave_out", None)) and not _has(tensors, name):
                leave_out()
        network = without_adapters(network)
    for norm in about["folded"]:
        drop_norm(network, norm)
    for name, part in network.named_modules():
        if isinstance(part, nn.Conv2d) and part.bias is None and f"{name}.bias" in tensors:
            part.bias = nn.Parameter(torch.empty(part.out_channels), requires_grad=False)
    return network
