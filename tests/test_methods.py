"""One battery over every method in the folder: a new file is tested without touching this one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.errors import UsageError, VerificationError
from decathlon.family import Family
from decathlon.method import Regime, find_method, methods
from decathlon.seams import tensors
from decathlon.trunks import build
from decathlon.trunks.wide_resnet import WideResNet

CPU = torch.device("cpu")
CASES = [(name, regime) for name in methods() for regime in find_method(name).regimes]
IDENTITY = [(name, regime) for name, regime in CASES if name in ("bn", "feature", "finetune")]
each = pytest.mark.parametrize(("name", "regime"), CASES)


def family(name: str, regime: Regime, seed: int = 0) -> Family:
    torch.manual_seed(1)
    made = Family(find_method(name)(WideResNet(10, 1), regime), seed, CPU)
    made.add("first", 3)
    made.add("second", 5)
    return made


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def step(made: Family, domain: str) -> None:
    network = made.networks[domain].train()
    cross_entropy(network(images()), torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in (*made.trunk.parameters(), *made.shared.parameters(), *network.parameters()):
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad = None


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@each
def test_has_a_docstring_that_names_itself_and_its_paper(name: str, regime: Regime) -> None:
    text = __import__(find_method(name).__module__, fromlist=["x"]).__doc__
    assert text is not None and text.startswith(f"{name}: ") and "https://" in text and "Stored per domain:" in text


@pytest.mark.parametrize(("name", "regime"), IDENTITY)
def test_identity_starts_reproduce_the_trunk(name: str, regime: Regime) -> None:
    made = family(name, regime)
    made.trunk.eval()
    torch.testing.assert_close(made.networks["first"].eval().body(images()), made.trunk(images()))


@each
def test_gradients_only_where_due(name: str, regime: Regime) -> None:
    made = family(name, regime)
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
def test_a_step_of_one_domain_leaves_the_others_alone(name: str, regime: Regime) -> None:
    made = family(name, regime)
    trunk, other = snapshot(made.trunk), {k: v.clone() for k, v in made.delta("second").items()}
    before = made.networks["second"].eval()(images())
    step(made, "first")
    assert all(torch.equal(tensor, made.delta("second")[key]) for key, tensor in other.items())
    if regime == "frozen":
        assert all(torch.equal(tensor, made.trunk.state_dict()[key]) for key, tensor in trunk.items())
    if regime != "joint" and not list(made.shared.parameters()):
        assert torch.equal(before, made.networks["second"].eval()(images()))


@each
def test_a_delta_goes_round_exactly_and_holds_nothing_of_the_trunk(name: str, regime: Regime) -> None:
    made, other = family(name, regime), family(name, regime, seed=5)
    step(made, "first")
    other.trunk.load_state_dict(made.trunk.state_dict())
    other.shared.load_state_dict(made.shared.state_dict())
    other.load("first", made.delta("first"), "a file")
    assert torch.equal(made.networks["first"].eval()(images()), other.networks["first"].eval()(images()))
    common = tensors(made.trunk)
    stored = sum(t.numel() for t in made.delta("first").values())
    network = made.networks["first"]
    everything = sum(t.numel() for t in network.state_dict().values())
    of_trunk = sum(t.numel() for t in tensors(network).values() if id(t) in common)
    of_shared = sum(t.numel() for t in tensors(network).values() if id(t) in tensors(made.shared))
    assert stored == everything - of_trunk - of_shared


@each
def test_a_delta_of_another_shape_is_refused(name: str, regime: Regime) -> None:
    made = family(name, regime)
    with pytest.raises(VerificationError, match="does not fit"):
        made.load("first", made.delta("second"), "a file")
    with pytest.raises(VerificationError, match="does not fit"):
        made.load("first", {}, "a file")


@each
def test_random_weights_depend_on_seed_and_domain_alone(name: str, regime: Regime) -> None:
    one, two = family(name, regime), Family(find_method(name)(WideResNet(10, 1), regime), 0, CPU)
    two.add("second", 5)
    for key, tensor in one.delta("second").items():
        if "head" in key or "adapter" in key or "attention" in key:
            assert torch.equal(tensor, two.delta("second")[key])


@each
def test_compiles_into_one_graph(name: str, regime: Regime) -> None:
    network = family(name, regime).networks["first"].eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images()), network(images()))


@each
def test_the_footprint_is_what_is_stored(name: str, regime: Regime) -> None:
    made = family(name, regime)
    rows = [row for row in made.footprint().rows if row.scope == "first"]
    parameters = {id(p) for p in made.networks["first"].parameters()} - set(made.common)
    stored = sum(p.numel() for p in made.networks["first"].parameters() if id(p) in parameters)
    assert sum(row.bits for row in rows) == 32 * stored


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown method 'paralel': did you mean parallel"):
        find_method("paralel")


def test_a_regime_a_method_cannot_have_is_refused() -> None:
    with pytest.raises(UsageError, match="'feature' cannot train with --no-freeze"):
        find_method("feature")(build("wrn-10-1"), "joint")


def test_parallel_over_timm_resnet18_adapts_its_3x3_convolutions() -> None:
    made = Family(find_method("parallel")(build("timm:resnet18")), 0, CPU)
    network = made.add("x", 3)
    assert network.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert sum("adapter" in name for name in made.delta("x")) == 16


def test_mtan_masks_the_taps_of_a_timm_model() -> None:
    made = Family(find_method("mtan")(build("timm:resnet18")), 0, CPU)
    assert made.add("x", 3).eval()(torch.randn(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [("timm:resnett18", "did you mean"), ("wrn-27-4", "6n\\+4"), ("resnet62", "did you mean resnet26"),
     ("timm:vit_tiny_patch16_224", "choose")],
)  # fmt: skip
def test_a_trunk_that_does_not_exist_is_explained(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name)
