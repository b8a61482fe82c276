"""Merged networks: equal to what they were merged from, plain, and readable without the run."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor, nn

from decathlon.adapters.parallel import add_pointwise
from decathlon.cli.main import command
from decathlon.config.recipe import Recipe
from decathlon.data.domains import CropPolicy
from decathlon.data.image_pool import ImagePool, fit
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.experiments.launch import train
from decathlon.experiments.request import Request
from decathlon.inference import export as exporting
from decathlon.inference.export import FORMS, export, find_form
from decathlon.inference.merging import fold_norms, foldable, merge, without_adapters
from decathlon.inference.network_file import describe, description, load_merged, save_merged, to_input
from decathlon.models.layers import FrozenNorm
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel
from decathlon.models.registry import find_method, methods
from decathlon.models.surgery import tensors
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.resnet26 import ResNet26
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.record import Status
from decathlon.runs.run_directory import Run
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import read_tensors, write_tensors
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import TINY
from tests.helpers.runs import a_record

CPU = torch.device("cpu")
CASES = [(name, regime) for name in methods() for regime in find_method(name).regimes]
# of a bn network: norms that follow a convolution nobody else reads, and norms that do not
NORMS = {"wrn-16-1": (6, 7), "wrn-10-1-dan": (3, 4), "resnet26": (25, 1), "timm:resnet18": (20, 0)}


def make(trunk: str) -> Trunk:
    return ResNet26(0.25) if trunk == "resnet26" else build(trunk)


@torch.no_grad()
def shake(network: DomainNetwork) -> DomainNetwork:
    """Give every norm affine values and statistics that are not its first ones; the logits keep their size."""
    draw = torch.Generator().manual_seed(3)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.copy_(torch.rand(norm.num_features, generator=draw) + 0.5)
        norm.bias.copy_(torch.randn(norm.num_features, generator=draw) * 0.3)
        norm.momentum = 0.4
        norm.train()  # frozen ones too
    network(images())
    network(images(8))
    for norm in norms:
        norm.eval()
    return network.eval()


def images(count: int = 4, size: int = 33) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def network(name: str, regime: Regime | None, trunk: str) -> DomainNetwork:
    torch.manual_seed(1)
    return shake(MultiDomainModel(find_method(name)(make(trunk), regime), 0, CPU).add("x", 5))


def assert_same_logits(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-3 * max(1, other.abs().max().item()))


@pytest.mark.parametrize("trunk", quickly(NORMS, "wrn-10-1-dan", "timm:resnet18"))
@pytest.mark.parametrize(("name", "regime"), quickly(CASES, *CASES[::4]))
def test_a_merged_network_is_equal_and_shares_nothing(name: str, regime: Regime, trunk: str) -> None:
    whole = network(name, regime, trunk)
    before = {key: tensor.clone() for key, tensor in whole.state_dict().items()}
    plain = merge(whole)
    assert_same_logits(plain(images()), whole(images()))
    memory = {tensor.data_ptr() for tensor in tensors(whole).values()}
    assert not any(tensor.data_ptr() in memory for tensor in tensors(plain).values())
    assert all(torch.equal(tensor, before[key]) for key, tensor in whole.state_dict().items())
    assert not any(p.requires_grad for p in plain.parameters()) and not plain.training
    assert not any(isinstance(part, FrozenNorm) or hasattr(part, "merged") for part in plain.modules())


@pytest.mark.parametrize("trunk", NORMS)
def test_norms_fold_where_they_follow_a_convolution_nobody_else_reads(trunk: str) -> None:
    plain = merge(network("parallel", None, trunk))
    left = sum(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    folds, stay = foldable(without_adapters(network("parallel", None, trunk)))
    assert (len(folds), len(stay)) == NORMS[trunk] and left == len(stay)
    assert isinstance(plain.body, Trunk) and not any("adapter" in key for key in plain.state_dict())


def test_mtan_keeps_its_body_and_folds_its_norms() -> None:
    folds, stay = foldable(without_adapters(network("mtan", None, "wrn-10-1")))
    assert len(folds) == 3 + 4 * 3 and sorted(set(stay.values())) == [
        "no convolution directly before it", "the convolution before it has other readers",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "regime"), CASES)
def test_every_method_comes_back_from_its_file(name: str, regime: Regime, tmp_path: Path) -> None:
    whole = network(name, regime, "wrn-10-1")
    folded, _ = fold_norms(plain := without_adapters(copy.deepcopy(whole)))
    about = describe(plain, TINY["boats"], a_record(name, regime), folded)
    assert about["plain"] == (name not in ("mtan", "stan", "dense", "sluice"))  # all others become the trunk again
    save_merged(tmp_path / "x.safetensors", plain, about)
    assert_same_logits(load_merged(tmp_path / "x.safetensors")(images()), whole(images()))


def parallel_conv(conv: nn.Conv2d) -> Any:
    return find_method("parallel")(build("wrn-10-1")).conv(conv)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize("bias", [False, True])
def test_a_parallel_adapter_is_the_centre_tap(stride: int, size: int, bias: bool) -> None:
    torch.manual_seed(0)
    pair = parallel_conv(nn.Conv2d(5, 6, 3, stride, 1, bias=bias))
    x = torch.randn(2, 5, size, size + 1)
    torch.testing.assert_close(pair.merged()(x), pair(x), rtol=1e-5, atol=1e-5)


def test_an_unpadded_convolution_gets_no_parallel_adapter_and_cannot_take_one_in() -> None:
    unpadded = nn.Conv2d(5, 6, 3, padding=0)
    assert parallel_conv(unpadded) is unpadded
    with pytest.raises(UsageError, match="that pads evenly"):
        add_pointwise(unpadded, torch.zeros(6, 5))


def test_norms_of_other_packages_leave_their_activation() -> None:
    plain = merge(network("bn", None, "timm:efficientnet_lite0"))
    whole = network("bn", None, "timm:efficientnet_lite0")
    assert not any(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    assert_same_logits(plain(images()), whole(images()))


class Twisted(nn.Module):
    """What a tracer cannot follow, a convolution of a special kind, and a norm nobody calls."""

    def __init__(self, traceable: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.idle = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.doubled, self.last = Doubled(4, 4, 1), nn.BatchNorm2d(4)
        self.traceable = traceable

    def forward(self, x: Tensor) -> Tensor:
        if not self.traceable and x.sum() > 1e9:
            return x
        out: Tensor = self.last(self.doubled(self.norm(self.conv(x)))).mean((2, 3))
        return out


class Doubled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize("traceable", [True, False])
def test_what_cannot_be_folded_says_why_and_still_merges(traceable: bool) -> None:
    whole = shake(DomainNetwork(Twisted(traceable), 4, 5))
    folds, stay = fold_norms(plain := merge(whole))
    assert_same_logits(plain(images()), whole(images()))
    assert not folds  # the second time there is nothing left to fold
    special = "the convolution before it is of a special kind"
    expected = {"body.idle": "the network does not call it", "body.last": special}
    if not traceable:
        expected = dict.fromkeys(["body.norm", "body.idle", "body.last"], "the network cannot be traced")
    assert stay == expected


@pytest.fixture(scope="module")
def runs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Finished runs over all three domains."""
    recipe = Recipe(epochs=2, batch=8, size=16, lr=0.05, precision="fp32", crop="full")
    folder = tmp_path_factory.mktemp("runs")
    request: dict[str, Any] = {"data": tiny, "recipe": recipe, "trunk": "wrn-10-1"}
    return {
        name: train(Request(out=folder / name, method=name, **request), TrainingProgress())
        for name in ("parallel", "mtan", "finetune")
    }


def run_command(run: Run, out: Path, *words: str, domain: str = "boats") -> Result:
    return CliRunner().invoke(command, ["merge", str(run.folder), domain, "-o", str(out), *words])


@pytest.mark.parametrize("name", ["parallel", "mtan", "finetune"])
def test_a_file_holds_the_network_and_what_serving_needs(
    runs: dict[str, Run], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "boats.safetensors"
    done = export(runs[name], "boats", out, "safetensors")
    assert done.difference < 1e-3 and done.adapters == (7 if name == "parallel" else 0)
    assert done.multiply_adds[0] == done.multiply_adds[1]  # parallel computes in the centre tap already
    about = read_tensors(out)[1]
    assert about == json.loads(json.dumps(done.about))
    assert about["categories"][4] == {"id": 20000005, "name": "boats-5"} and about["plain"] == (name != "mtan")
    assert about["input"] == {
        "size": 16, "resize": 18, "crop": "full", "mean": list(TINY["boats"].mean), "std": list(TINY["boats"].std),
    }  # fmt: skip
    assert about["run"]["recipe"]["epochs"] == 2 and about["run"]["method"] == name
    assert str(runs[name].folder.parent) not in json.dumps(about)  # no path of this machine
    state = torch.get_rng_state()
    if name != "mtan":  # a plain network needs no method
        monkeypatch.setattr("decathlon.inference.network_file.make_method", None)
    loaded = load_merged(str(out))
    assert torch.equal(state, torch.get_rng_state()), "loading moved the caller's random numbers"
    assert loaded(images(2, 16)).shape == (2, 5) and not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("name", [slow("parallel"), "mtan"])
def test_torch_export_goes_round_with_any_number_of_images(runs: dict[str, Run], tmp_path: Path, name: str) -> None:
    export(runs[name], "boats", tmp_path / "b.safetensors", "safetensors")
    done = export(runs[name], "boats", tmp_path / "b.pt2", "torch-export")
    extra = {"decathlon.json": ""}
    program = torch.export.load(tmp_path / "b.pt2", extra_files=extra).module()
    for count in (1, 2, 7):
        assert_same_logits(program(images(count, 16)), load_merged(tmp_path / "b.safetensors")(images(count, 16)))
    assert json.loads(extra["decathlon.json"]) == json.loads(json.dumps(done.about))
    assert description(tmp_path / "b.pt2") == description(tmp_path / "b.safetensors")
    assert b"decathlon/trunks" not in (tmp_path / "b.pt2").read_bytes()  # no path of this machine


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parallel", "mtan"])
def test_onnx_runs_in_its_runtime_with_any_number_of_images(
    runs: dict[str, Run], tmp_path: Path, name: str
) -> None:
    runtime = optional("onnx", "onnxscript", "onnxruntime")
    export(runs[name], "boats", tmp_path / "b.safetensors", "safetensors")
    done = export(runs[name], "boats", tmp_path / "b.onnx", "onnx")
    session = runtime.InferenceSession(tmp_path / "b.onnx")
    for count in (1, 2, 7):
        (logits,) = session.run(["logits"], {"images": images(count, 16).numpy()})
        expected = load_merged(tmp_path / "b.safetensors")(images(count, 16))
        assert_same_logits(torch.from_numpy(logits), expected)
    stored = session.get_modelmeta().custom_metadata_map["decathlon"]
    assert json.loads(stored) == json.loads(json.dumps(done.about))
    assert description(tmp_path / "b.onnx") == description(tmp_path / "b.safetensors")
    assert b"decathlon/trunks" not in (tmp_path / "b.onnx").read_bytes()  # no path of this machine


@pytest.mark.parametrize("crop", ["crop", "squash", "full"])
def test_an_image_becomes_the_input_that_prediction_sees(crop: CropPolicy) -> None:
    domain = replace(TINY["apples"], crop=crop)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), np.uint8)
    told = {"size": 16, "resize": 18, "crop": crop, "mean": list(domain.mean), "std": list(domain.std)}
    pool = ImagePool(domain, [fit(pixels, crop, 18, domain.mean)], torch.tensor([0]), [1], 16)
    seen = to_input(Image.fromarray(pixels), {"input": told})
    assert seen.shape == (3, 16, 16) and torch.equal(seen, pool.batch(torch.tensor([0]))[0])


def optional(*names: str) -> ModuleType:
    """Return the last of some packages, or skip the test where one is missing."""
    *_, last = (pytest.importorskip(name) for name in names)
    assert isinstance(last, ModuleType)
    return last


def test_without_the_extra_onnx_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"need onnx and onnxscript. Run pip install 'visual-decathlon\[onnx\]'"):
        find_form(tmp_path / "x.onnx", None)


def test_a_format_comes_from_the_option_or_the_ending() -> None:
    assert find_form(Path("a/b.pt2"), None) == FORMS[".pt2"] == "torch-export"
    assert find_form(Path("b.pt2"), "safetensors") == "safetensors"
    with pytest.raises(UsageError, match="Use --format, or a name that ends in .safetensors, .pt2, .onnx"):
        find_form(Path("b.bin"), None)


def test_the_command_reports_and_never_overwrites(runs: dict[str, Run], tmp_path: Path) -> None:
    out = tmp_path / "boats.safetensors"
    done = run_command(runs["parallel"], out)
    assert done.exit_code == 0 and done.stdout == ""
    assert "boats, parallel over wrn-10-1: 7 adapters merged, 3 of 7 norms folded" in done.stderr
    assert "norms kept: 3, no convolution directly before it" in done.stderr
    assert f"Next: decathlon.load_merged('{out}')" in done.stderr
    again = run_command(runs["parallel"], out)
    assert isinstance(again.exception, UsageError) and "--force" in str(again.exception)
    assert run_command(runs["mtan"], out, "--force").exit_code == 0
    assert read_tensors(out)[1]["run"]["method"] == "mtan"
    assert "mtan is more than its trunk" in run_command(runs["mtan"], tmp_path / "m.safetensors").stderr


def test_wrong_usage_is_one_sentence(runs: dict[str, Run], tmp_path: Path) -> None:
    run, out = runs["parallel"], tmp_path / "x.safetensors"
    assert "Did you mean boats?" in str(run_command(run, out, domain="boat").exception)
    wrong = run_command(run, out, "--format", "onxx")
    assert wrong.exit_code == 2 and "'onxx' is not one of 'safetensors'" in wrong.stderr
    status: Status
    for status, message in (("running", "has not finished training"), ("diverged", "smaller --lr")):
        unfinished = Run(tmp_path / status)
        unfinished.folder.mkdir()
        unfinished.write(replace(run.read(), status=status))
        with pytest.raises(UsageError, match=message):
            export(unfinished, "boats", out, "safetensors")
    assert not out.exists()


def test_a_file_with_other_logits_never_gets_its_name(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "load_merged", lambda path: lambda images: torch.full((3, 5), float("nan")))
    with pytest.raises(VerificationError, match="the network of boats in a safetensors file has other logits"):
        export(runs["parallel"], "boats", tmp_path / "x.safetensors", "safetensors")
    assert not list(tmp_path.iterdir())


def test_a_foreign_or_contradicting_file_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(DataError, match="is not a merged network"):
        load_merged(runs["parallel"].domain("boats"))
    export(runs["parallel"], "boats", path, "safetensors")
    stored, about = read_tensors(path)
    assert description(str(path)) == about and about["input"]["mean"] == [0.5, 0.45, 0.4]
    for ending, loader in (("pt2", "torch.export.load("), ("onnx", "onnxruntime.InferenceSession(")):
        with pytest.raises(DataError, match="does not exist"):
            load_merged(tmp_path / f"x.{ending}")
        (tmp_path / f"x.{ending}").write_bytes(b"another format")
        with pytest.raises(DataError, match=f"not safetensors. Load it with {re.escape(loader)}'.*x.{ending}'"):
            load_merged(tmp_path / f"x.{ending}")
        with pytest.raises(DataError, match=f"x.{ending} is damaged or not an? "):
            description(tmp_path / f"x.{ending}")
    wrongs: list[dict[str, Any]] = [{"trunk": "wrn-16-1"}, {"folded": {}}, {"folded": {"body.x": "body.stem"}}]
    for wrong in wrongs:
        write_tensors(path, stored, about | wrong)
        with pytest.raises(VerificationError, match="does not fit"):
            load_merged(path)


@pytest.mark.parametrize("trunk", ["wrn-10-1", slow("resnet26")])
@pytest.mark.parametrize("name", [name for name in methods() if name != "scratch"])
def test_what_was_learned_is_merged_too(name: str, trunk: str) -> None:
    """Masks off, factors away from one: every parameter that is not a norm's moves."""
    moved = network(name, None, trunk)
    draw = torch.Generator().manual_seed(4)
    of_norms = {id(p) for part in moved.modules() if isinstance(part, nn.BatchNorm2d) for p in part.parameters()}
    with torch.no_grad():
        for parameter in moved.parameters():
            if id(parameter) not in of_norms:
                noise = torch.randn(parameter.shape, generator=draw)
                parameter.add_(noise * 0.1 * parameter.std(correction=0).clamp(min=0.1))
    assert_same_logits(merge(moved)(images()), moved(images()))
