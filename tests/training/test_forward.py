"""Compiled training: one graph for ten domains, the same numbers, a knob of the recipe."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from decathlon.errors import UsageError
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method, methods
from decathlon.models.trunks.registry import build
from decathlon.system.tensor_files import read_tensors
from decathlon.training import trainer as job_module
from decathlon.training.forward import Forward, Gradients, compiled_forward, plain_forward
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import TINY
from tests.helpers.runs import RECIPE, go, make_trainer


class Counting:
    """A backend that counts the graphs it is given and runs them as they are."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, examples: Any) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Forget what other tests compiled of the same code."""
    torch.compiler.reset()


def model(method: str, regime: Regime | None = None, domains: int = 10) -> MultiDomainModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MultiDomainModel(find_method(method)(build("wrn-10-1"), regime), 0, torch.device("cpu"))
        for number in range(domains):
            made.add(f"domain{number}", 2 + number)
    return made


def train(made: MultiDomainModel, forward: Forward) -> None:
    """Take two steps of plain SGD on every domain in turn."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for network in made.networks.values():
            network.train()
            network.zero_grad(set_to_none=True)
            images = torch.randn(4, 3, 16, 16, generator=generator)
            forward(network, images).square().mean().backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                for parameter in network.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(0.05 * parameter.grad)


def tensors(made: MultiDomainModel) -> dict[str, Tensor]:
    return nn.ModuleDict(made.networks).state_dict()


@pytest.mark.parametrize(
    ("method", "regime"),
    [("mtan", "joint"), slow("mtan", "frozen"), slow("bn", "joint"), slow("parallel", "frozen")],
)
def test_ten_domains_share_one_graph(method: str, regime: Regime) -> None:
    count = Counting()
    train(model(method, regime), compiled_forward(count))
    assert count.graphs == 1


@pytest.mark.parametrize("method", quickly(methods(), "mtan", "piggyback"))
def test_domains_of_every_method_share_one_graph(method: str) -> None:
    count = Counting()
    train(model(method, domains=2), compiled_forward(count))
    assert count.graphs == 1


def test_another_run_of_the_same_kind_uses_the_graph_again() -> None:
    count = Counting()
    for _ in range(2):
        train(model("bn", domains=1), compiled_forward(count))
    assert count.graphs == 1


def test_whole_networks_would_be_a_graph_each() -> None:
    """The negative control: heads differ in shape."""
    count = Counting()
    whole = torch.compile(plain_forward, backend=count, dynamic=False)
    made = model("bn", domains=3)
    train(made, whole)
    assert count.graphs == 3


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mtan", "bn", "parallel"])
def test_compiled_steps_give_the_numbers_of_plain_ones(method: str) -> None:
    plain, compiled = model(method), model(method)
    before = {name: tensor.clone() for name, tensor in tensors(plain).items()}
    train(plain, plain_forward)
    train(compiled, compiled_forward("aot_eager"))
    expected, found = tensors(plain), tensors(compiled)
    assert any(not torch.equal(before[name], expected[name]) for name in before)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=1e-4, msg=name)


def test_the_knob_reaches_the_training(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Counting()
    monkeypatch.setattr(job_module, "compiled_forward", functools.partial(compiled_forward, count))
    short = RECIPE.override({"epochs": 1})
    plain = go(tiny, tmp_path / "plain", "mtan", recipe=short)
    assert count.graphs == 0
    compiled = go(tiny, tmp_path / "compiled", "mtan", recipe=short.override({"compile": True}))
    assert count.graphs == 1 and compiled.read().recipe.compile is True
    for name in TINY.names:
        expected, found = (read_tensors(run.domain(name))[0] for run in (plain, compiled))
        for key, tensor in expected.items():
            torch.testing.assert_close(found[key], tensor, atol=1e-3, rtol=1e-3, msg=key)


@pytest.mark.parametrize("method", quickly(methods(), "mtan", "piggyback"))
def test_gradients_that_keep_their_memory_give_the_same_bits(method: str, tiny: Path) -> None:
    """Rehearses CUDA graphs: every domain's gradients are added into memory that no graph owns."""
    recipe = RECIPE.override({"together": True})
    plain, kept = make_trainer(tiny, method, recipe), make_trainer(tiny, method, recipe)
    kept.gradients = Gradients()
    for _ in range(3):
        plain.advance()
        kept.advance()
    expected, found = plain.state(), kept.state()
    assert expected[1] == found[1] and expected[0].keys() == found[0].keys()
    for name, tensor in expected[0].items():
        assert torch.equal(found[0][name], tensor), name


def test_gradients_of_inactive_domains_stay_none() -> None:
    made = model("bn", domains=2)
    first, second = made.networks.values()
    gradients = Gradients()
    gradients.ready([first])
    places = {parameter: parameter.grad for parameter in first.parameters()}
    assert all(grad is not None and not grad.any() for grad in places.values())
    assert all(parameter.grad is None for parameter in second.head.parameters())
    logits = compiled_forward("eager", cuda_graphs=True)(first, torch.randn(2, 3, 16, 16))
    logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is grad for parameter, grad in places.items())
    assert any(bool(grad.any()) for grad in places.values() if grad is not None)
    gradients.ready([first])
    assert all(parameter.grad is grad for parameter, grad in places.items())
    assert not any(bool(grad.any()) for grad in places.values() if grad is not None)


def test_the_graphs_inputs_may_be_recorded() -> None:
    """CUDA graphs copy every input whose address may change: parameters and buffers must be known not to."""
    static: list[list[bool]] = []

    def look(graph: torch.fx.GraphModule, examples: Any) -> Callable[..., Any]:
        places = [node.meta["tensor_dict"] for node in graph.graph.nodes if node.op == "placeholder"]
        static.append(["_dynamo_static_input_type" in place for place in places])
        return graph.forward

    train(model("mtan", domains=2), compiled_forward(look, cuda_graphs=True))
    assert len(static) == 1 and static[0].count(False) == 1  # the images


def test_cuda_graphs_are_refused_where_they_cannot_be(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Set compile"):
        RECIPE.override({"cuda_graphs": True})
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="need a GPU"):
            go(tiny, tmp_path / "run", "bn", recipe=RECIPE.override({"compile": True, "cuda_graphs": True}))
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_made_code_gives_the_numbers_of_plain_steps() -> None:
    plain, compiled = model("bn", domains=2), model("bn", domains=2)
    train(plain, plain_forward)
    train(compiled, compiled_forward())
    expected, found = tensors(plain), tensors(compiled)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=1e-4, msg=name)
