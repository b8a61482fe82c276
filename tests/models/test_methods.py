"""One battery over every method in the folder: a new file is tested without touching this one."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon import adapters
from decathlon.cli.main import command
from decathlon.errors import UsageError, VerificationError
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import explain, find_method, methods, read_options
from decathlon.models.surgery import tensors
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.system import plugins

CPU = torch.device("cpu")
# options that are texts: no list of choices says what to try
TEXTS: dict[str, list[dict[str, Any]]] = {
    "branch": [{"tree": "first,second/first|second/first|second"}],
    "successive": [{"exit": "second:1"}],
}


def variants(name: str) -> list[dict[str, Any]]:
    """Return the default options, and each switch and each choice away from its default."""
    options = find_method(name).options
    found: list[dict[str, Any]] = [{}]
    for option, kind in get_type_hints(type(options)).items():
        default = getattr(options, option)
        others = [not default] if kind is bool else [value for value in get_args(kind) if value != default]
        found += [{option: value} for value in others]
    return found + TEXTS.get(name, [])


def case(name: str, regime: Regime, chosen: dict[str, Any]) -> Any:
    """Return a case of the battery; a further option under a further regime is tested slowly."""
    marks = [pytest.mark.slow] if chosen and regime != find_method(name).regimes[0] else []
    words = [name, regime, *(f"{option}={value}" for option, value in chosen.items())]
    return pytest.param(name, regime, chosen, id="-".join(words), marks=marks)


CASES = [
    case(name, regime, chosen)
    for name in methods()
    for regime in find_method(name).regimes
    for chosen in variants(name)
]
each = pytest.mark.parametrize(("name", "regime", "chosen"), CASES)
Chosen = dict[str, Any]


def model(name: str, regime: Regime, chosen: Chosen, seed: int = 0) -> MultiDomainModel:
    torch.manual_seed(1)
    kind = find_method(name)
    made = MultiDomainModel(kind(WideResNet(10, 1), regime, kind.choose(chosen)), seed, CPU)
    made.add("first", 3)
    made.add("second", 5)
    return made


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def step(made: MultiDomainModel, domain: str) -> None:
    network = made.networks[domain].train()
    cross_entropy(network(images()), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in (*made.trunk.parameters(), *made.shared.parameters(), *network.parameters()):
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad = None


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def docstring(name: str) -> str:
    return " ".join((sys.modules[find_method(name).__module__].__doc__ or "").split())


@pytest.mark.parametrize("name", methods())
def test_has_a_docstring_that_names_itself_its_paper_and_its_start(name: str) -> None:
    assert docstring(name).startswith(f"{name}: ")
    for part in ("https://", "Stored per domain:", "Starts "):
        assert part in docstring(name), part


@pytest.mark.parametrize("name", methods())
def test_every_option_has_a_line_for_the_user(name: str) -> None:
    for option in fields(find_method(name).options):
        assert option.metadata["about"] and f"--set {option.name}=" in explain(name)


@each
def test_starts_where_its_docstring_says(name: str, regime: Regime, chosen: Chosen) -> None:
    made = model(name, regime, chosen)
    made.trunk.eval()
    body = made.networks["first"].eval().body
    if getattr(body, "features", made.trunk.features) != made.trunk.features:
        return  # other features than the trunk's
    distance = (body(images()) - made.trunk(images())).abs().max().item()
    if chosen.get("init") == "zero" or "Starts at the trunk exactly" in docstring(name):
        assert distance < 1e-5
    else:  # says `at random` or `near`: it must not be the trunk by accident
        assert distance > 1e-3


@each
def test_gradients_only_where_due(name: str, regime: Regime, chosen: Chosen) -> None:
    made = model(name, regime, chosen)
    own = {id(p) for p in made.networks["first"].parameters()}
    cross_entropy(made.networks["first"].train()(images()), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    for parameter in made.networks["second"].parameters():
        assert parameter.grad is None or id(parameter) in own
    for parameter in made.networks["first"].parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
    if regime == "frozen":
        assert not any(p.requires_grad for p in made.trunk.parameters())
    if regime == "joint":
        assert any(p.grad is not None for p in made.trunk.parameters())


@each
def test_a_step_of_one_domain_leaves_the_others_alone(name: str, regime: Regime, chosen: Chosen) -> None:
    made = model(name, regime, chosen)
    trunk, other = snapshot(made.trunk), {k: v.clone() for k, v in made.delta("second").items()}
    before = made.networks["second"].eval()(images())
    step(made, "first")
    assert all(torch.equal(tensor, made.delta("second")[key]) for key, tensor in other.items())
    if regime == "frozen":
        assert all(torch.equal(tensor, made.trunk.state_dict()[key]) for key, tensor in trunk.items())
    if regime != "joint" and not list(made.shared.parameters()):
        assert torch.equal(before, made.networks["second"].eval()(images()))


@each
def test_a_delta_goes_round_exactly_and_holds_nothing_of_the_trunk(
    name: str, regime: Regime, chosen: Chosen
) -> None:
    made, other = model(name, regime, chosen), model(name, regime, chosen, seed=5)
    step(made, "first")
    other.trunk.load_state_dict(made.trunk.state_dict())
    other.shared.load_state_dict(made.shared.state_dict())
    other.load("first", made.stored("first"), "a file")
    assert torch.equal(made.networks["first"].eval()(images()), other.networks["first"].eval()(images()))
    foreign = tensors(made.trunk) | tensors(made.shared)
    assert not any(id(tensor) in foreign for tensor in made.delta("first").values())
    assert made.delta("first").keys() == made.stored("first").keys()
    again = other.stored("first")
    assert all(torch.equal(tensor, again[key]) for key, tensor in made.stored("first").items())


@each
def test_a_delta_of_another_shape_is_refused(name: str, regime: Regime, chosen: Chosen) -> None:
    made = model(name, regime, chosen)
    with pytest.raises(VerificationError, match="does not fit"):
        made.load("first", made.stored("second"), "a file")
    with pytest.raises(VerificationError, match="does not fit"):
        made.load("first", {}, "a file")


@each
def test_random_weights_depend_on_seed_and_domain_alone(name: str, regime: Regime, chosen: Chosen) -> None:
    both, kind = model(name, regime, chosen), find_method(name)
    torch.manual_seed(1)
    alone = MultiDomainModel(kind(WideResNet(10, 1), regime, kind.choose(chosen)), 0, CPU)
    alone.add("second", 5)
    for key, tensor in both.delta("second").items():
        assert torch.equal(tensor, alone.delta("second")[key])
    other = model(name, regime, chosen, seed=1)
    assert not torch.equal(both.delta("second")["head.weight"], other.delta("second")["head.weight"])


@pytest.mark.slow  # test_compiled.py compiles every method with its default options
@each
def test_compiles_into_one_graph(name: str, regime: Regime, chosen: Chosen) -> None:
    torch.compiler.reset()  # every case compiles the same code for another network
    network = model(name, regime, chosen).networks["first"].eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images()), network(images()))


@each
def test_the_footprint_is_what_is_stored(name: str, regime: Regime, chosen: Chosen) -> None:
    made = model(name, regime, chosen)
    rows = [row for row in made.footprint().rows if row.scope == "first"]
    stored = sum(8 * tensor.element_size() * tensor.numel() for tensor in made.stored("first").values())
    assert sum(row.bits for row in rows) == stored


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown method 'paralel'. Did you mean parallel"):
        find_method("paralel")


def test_a_broken_method_is_listed_with_its_reason_and_takes_no_other_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found")
    (tmp_path / "empty_file.py").write_text('"""empty-file: nothing."""')
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path)])
    point = EntryPoint("outside", "nowhere.to.be_found", "decathlon.adapters")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    monkeypatch.setattr(
        plugins, "_installed", plugins._installed.__wrapped__
    )  # what is kept is of this environment
    done = CliRunner().invoke(command, ["methods"])
    lines = {line.split()[0]: line for line in done.output.splitlines() if line.startswith("  ")}
    assert done.exit_code == 0 and lines.keys() == methods().keys() > {"bn", "broken", "outside"}
    for name, reason in (("broken", "nowhere_to_be_found"), ("outside", "nowhere")):
        reason = f"cannot be imported (ModuleNotFoundError: No module named '{reason}'). Fix "
        assert reason in lines[name]
        with pytest.raises(UsageError, match=re.escape(f"method '{name}' {reason}")):
            read_options(name, [])
    with pytest.raises(UsageError, match="needs exactly one Method in .*empty_file, but it defines 0"):
        find_method("empty-file")


def test_a_regime_a_method_cannot_have_is_refused() -> None:
    with pytest.raises(UsageError, match="'feature' cannot have a trunk trained with all domains"):
        find_method("feature")(build("wrn-10-1"), "joint")


def test_parallel_over_timm_resnet18_adapts_its_3x3_convolutions() -> None:
    made = MultiDomainModel(find_method("parallel")(build("timm:resnet18")), 0, CPU)
    network = made.add("x", 3)
    assert network.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert sum("adapter" in name for name in made.delta("x")) == 16


def test_mtan_masks_the_taps_of_a_timm_model() -> None:
    made = MultiDomainModel(find_method("mtan")(build("timm:resnet18")), 0, CPU)
    assert made.add("x", 3).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [("timm:resnett18", "Did you mean"), ("wrn-27-4", "6n\\+4"), ("resnet62", "Did you mean resnet26"),
     ("timm:vit_tiny_patch16_224", "Choose")],
)  # fmt: skip
def test_a_trunk_that_does_not_exist_is_explained(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name)
