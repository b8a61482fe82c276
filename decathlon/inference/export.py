"""One domain of a run as a plain network in a file, checked against the run's own network before it appears."""

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from decathlon.errors import UsageError, VerificationError, unknown
from decathlon.inference.graph_formats import need_onnx, read_onnx, read_program, write_onnx, write_program
from decathlon.inference.merging import fold_norms, without_adapters
from decathlon.inference.network_file import describe, load_merged, save_merged
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.system.files import aside, replacing
from decathlon.system.seeding import generator

Form = Literal["safetensors", "torch-export", "onnx"]
FORMS: dict[str, Form] = dict(zip((".safetensors", ".pt2", ".onnx"), get_args(Form), strict=True))
TOLERANCE = 1e-3  # of a logit; relative to the largest one where that exceeds 1
IMAGES = 3  # to check with; graphs are traced with two, so this shows that another number works


@dataclass(frozen=True)
class Exported:
    """Result of an export: norms `folded`, norms `kept` with the reason, and the largest `difference` of a logit.

    `adapters` counts the modules that became convolutions; `multiply_adds` are of one image, before and after.
    """

    about: Mapping[str, Any]
    adapters: int
    folded: Mapping[str, str]
    kept: Mapping[str, str]
    difference: float
    multiply_adds: tuple[int, int]


def find_form(path: Path, form: Form | None) -> Form:
    """Return the format given or implied by the ending of the file; raises UsageError when there is neither."""
    if form is None and path.suffix not in FORMS:
        raise UsageError(f"{path} could be any format. Use --format, or a name that ends in {', '.join(FORMS)}.")
    found = form or FORMS[path.suffix]
    if found == "onnx":
        need_onnx()
    return found


@torch.no_grad()
def export(run: Run | str | Path, domain: str, path: str | Path, form: Form | None = None) -> Exported:
    """Merge one domain's network of a finished run and write it to `path`, replacing what was there.

    `form` is by default what the ending of `path` says: .safetensors, .pt2 (torch.export) or .onnx. The network in
    the file maps normalised images (batch, 3, size, size) to logits (batch, classes).

    Raises UsageError for a run that is not finished or a domain it does not have, and VerificationError when the
    file as read back has other logits; then no file is left.
    """
    run, path = run if isinstance(run, Run) else Run(Path(run)), Path(path)
    form = find_form(path, form)
    loaded = load(run, run.read_done(), torch.device("cpu"))
    model = loaded.model
    if domain not in model.networks:
        raise unknown("domain", domain, model.networks)
    network = model.networks[domain].eval()
    plain = without_adapters(copy.deepcopy(network))
    folded, kept = fold_norms(plain)
    about = describe(plain, loaded.domains[domain], loaded.record, folded)
    size = about["input"]["size"]
    images = torch.randn(IMAGES, 3, size, size, generator=generator("merge", domain))
    with replacing(path) as part, aside(part) as folder:
        difference = _write_checked(folder / f"network{path.suffix}", plain, images, network(images), about, form)
        os.replace(folder / f"network{path.suffix}", part)
    adapters = sum(callable(getattr(part, "merged", None)) for part in network.modules())
    multiply_adds = _multiply_adds(network, images[:1]), _multiply_adds(plain, images[:1])
    return Exported(about, adapters, folded, kept, difference, multiply_adds)


def _write_checked(
    path: Path, plain: nn.Module, images: Tensor, expected: Tensor, about: Mapping[str, Any], form: Form
) -> float:
    """Write a network, read it back and return the largest difference from the expected logits."""
    read: Callable[[Path], Callable[[Tensor], Tensor]]
    if form == "safetensors":
        save_merged(path, plain, about)
        read = load_merged
    else:
        write, read = (write_onnx, read_onnx) if form == "onnx" else (write_program, read_program)
        write(path, plain, images[:2], about)
    difference = (read(path)(images) - expected).abs().max().item()
    if not difference <= TOLERANCE * max(1, expected.abs().max().item()):
        problem = f"the network of {about['domain']} in a {form} file has other logits, by {difference:.1e}"
        raise VerificationError(f"{problem}. Try another format.")
    return difference


def _multiply_adds(network: nn.Module, image: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops()) // 2
