from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from timm.optim.muon import Muon as TimmMuon
from torch import nn

from decathlon.config.recipe import OPTIMIZERS, Recipe
from decathlon.errors import UsageError
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.training.muon import Muon
from decathlon.training.optimizer import (
    counters,
    groups,
    load_slots,
    make_optimizer,
    make_optimizers,
    make_schedule,
)


def network() -> DomainNetwork:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return DomainNetwork(body, 4, 2).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_timm_says_nothing_of_a_short_run(steps: int, caplog: pytest.LogCaptureFixture) -> None:
    optimizer = make_optimizer([{"params": [torch.nn.Parameter(torch.zeros(2))]}], Recipe())
    make_schedule(optimizer, Recipe(), steps)
    assert caplog.records == []


def test_every_parameter_is_in_one_group_and_only_weights_decay() -> None:
    net, trunk = network(), nn.Conv2d(3, 3, 1)
    made = groups(trunk, nn.Module(), {"apples": net}, Recipe(weight_decay=0.5, head_lr=3.0))
    members = [p for group in made for p in group["params"]]
    assert {id(p) for p in members} == {id(p) for p in (*trunk.parameters(), *net.parameters())}
    assert len(members) == len({id(p) for p in members})
    for group in made:
        assert all((p.ndim > 1) == (group["weight_decay"] == 0.5) for p in group["params"])
        assert (group["lr_scale"] == 3.0) == any(
            p is net.head.weight or p is net.head.bias for p in group["params"]
        )


def test_cosine_warms_up_to_lr_and_ends_at_zero() -> None:
    optimizer = make_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], Recipe())
    schedule = make_schedule(optimizer, Recipe(lr=0.1, warmup=0.1), 100)
    rates = []
    for step in range(1, 101):
        schedule.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert max(rates) == rates[9] == pytest.approx(0.1) and rates[0] == pytest.approx(0.01)
    assert rates[-1] == 0.0 and rates[54] == pytest.approx(0.05, abs=1e-3)


def test_steps_fall_at_the_milestones() -> None:
    recipe = Recipe(lr=0.1, warmup=0.0, schedule="step", milestones=(0.5, 0.75), decay=0.1)
    optimizer = make_optimizer([{"params": [nn.Parameter(torch.zeros(1))]}], recipe)
    schedule = make_schedule(optimizer, recipe, 100)
    rates = {}
    for step in (1, 50, 51, 75, 76, 100):
        schedule.step_update(step)
        rates[step] = optimizer.param_groups[0]["lr"]
    assert rates == pytest.approx({1: 0.1, 50: 0.1, 51: 0.01, 75: 0.01, 76: 0.001, 100: 0.001})


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_restored_state_lies_in_memory_as_its_parameter_does(name: str) -> None:
    net = network()
    optimizer = make_optimizer(groups(nn.Module(), nn.Module(), {"apples": net}, Recipe()), Recipe(optimizer=name))
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()["state"]
    plain = {
        number: {
            slot: value.contiguous() if isinstance(value, torch.Tensor) else value for slot, value in slots.items()
        }
        for number, slots in state.items()
    }
    load_slots(optimizer, plain, counters(optimizer))
    weight = next(net.body.parameters())
    assert not weight.is_contiguous()
    for slot, value in optimizer.state[weight].items():
        if slot != "step":
            assert value.stride() == weight.stride()


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown optimizer 'sgdd'. Did you mean sgd"):
        Recipe(optimizer="sgdd")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    recipe = Recipe(optimizer=name, lr=0.01)
    images = torch.randn(2, 3, 8, 8)

    def step(net: DomainNetwork, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(images).square().sum().backward()
        optimizer.step()

    net, other = network(), network()
    first, second = (
        make_optimizer(groups(nn.Module(), nn.Module(), {"apples": n}, recipe), recipe) for n in (net, other)
    )
    for _ in range(3):
        step(net, first)
    other.load_state_dict(net.state_dict())
    load_slots(second, copy.deepcopy(first.state_dict()["state"]), counters(first))
    for _ in range(3):
        step(net, first)
        step(other, second)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_the_auxiliary_optimizer_has_norms_biases_heads_and_what_is_no_matrix() -> None:
    trunk = build("wrn-10-1")
    recipe = Recipe(
        optimizer="muon", lr=0.01, weight_decay=0.1, aux_optimizer="adamw", aux_lr=0.3, aux_weight_decay=0.05
    )
    method = find_method("bn")(trunk, "joint")
    model = MultiDomainModel(method, 0, torch.device("cpu"))
    net = model.add("apples", 5)
    muon, adamw = make_optimizers(method, model.shared, {"apples": net}, recipe)
    own = {id(p): name for name, p in [*trunk.named_parameters(), *net.named_parameters()]}
    matrices = {own[id(p)] for group in muon.param_groups for p in group["params"]}
    others = {own[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert type(muon).__name__ == "Muon" and type(adamw).__name__ == "AdamW"
    assert {name.rpartition(".")[2] for name in matrices} == {"weight"} and "body.stem.weight" in matrices
    assert "head.weight" in others and not matrices & others
    assert {name for name, p in net.named_parameters() if p.requires_grad} <= matrices | others
    decays = {own[id(p)]: group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    assert decays["head.weight"] == 0.05 and decays["head.bias"] == decays["body.bn.weight"] == 0.0
    assert {group["weight_decay"] for group in muon.param_groups} == {0.1}
    schedule = make_schedule(adamw, recipe, 10)
    schedule.step_update(1)
    assert adamw.param_groups[0]["lr"] == pytest.approx(0.003)


def test_a_method_that_trains_no_matrix_has_the_auxiliary_optimizer_alone() -> None:
    method = find_method("feature")(build("wrn-10-1"), "frozen")
    model = MultiDomainModel(method, 0, torch.device("cpu"))
    recipe = Recipe(optimizer="muon", aux_optimizer="adamw")
    (only,) = make_optimizers(method, model.shared, {"apples": model.add("apples", 5)}, recipe)
    assert type(only).__name__ == "AdamW"


@pytest.mark.parametrize(("method", "regime"), [("bn", "joint"), ("finetune", "private")])
def test_rates_rise_with_depth(method: str, regime: Any) -> None:
    chosen = find_method(method)(build("wrn-10-1"), regime)
    model = MultiDomainModel(chosen, 0, torch.device("cpu"))
    recipe = Recipe(depth_lr=0.1, head_lr=2.0, trunk_lr=1.0)
    net = model.add("apples", 5)
    (only,) = make_optimizers(chosen, model.shared, {"apples": net}, recipe)
    scale = {id(p): group["lr_scale"] for group in only.param_groups for p in group["params"]}
    own = dict(net.named_parameters())
    assert scale[id(own["body.stem.weight"])] == pytest.approx(0.1)
    assert scale[id(own["body.stage3.0.conv2.weight"])] == pytest.approx(1.0)
    assert 0.1 < scale[id(own["body.stage2.0.conv1.weight"])] < 1.0
    assert scale[id(own["head.weight"])] == 2.0


def test_muon_is_timms_on_convolutions() -> None:
    """In float32, where timm's computes in bfloat16: equal within that."""
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.randn(16, 8, 3, 3)), nn.Parameter(torch.randn(12, 40))] for _ in range(2))
    for mine, other in zip(ours, theirs, strict=True):
        other.data.copy_(mine.data)
    begun = [p.detach().clone() for p in ours]
    one = Muon([{"params": ours}], lr=0.02, momentum=0.95, weight_decay=0.1, bf16=False)
    two = TimmMuon([{"params": theirs}], lr=0.02, momentum=0.95, weight_decay=0.1, nesterov=True)
    for _ in range(3):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine).contiguous(memory_format=torch.preserve_format)
            other.grad = mine.grad.clone()
        one.step()
        two.step()  # type: ignore[no-untyped-call]
    for mine, other, before in zip(ours, theirs, begun, strict=True):
        apart, moved = (mine - other).detach().norm(), (other - before).detach().norm()
        assert float(apart / moved) < 0.02


def test_an_update_of_muon_is_orthogonal_and_as_large_as_that_of_adamw() -> None:
    weight = nn.Parameter(torch.zeros(16, 3, 3, 3).contiguous(memory_format=torch.channels_last))
    weight.grad = torch.randn(16, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    Muon([{"params": [weight]}], lr=1.0, momentum=0.9, weight_decay=0.0, bf16=False).step()
    update = -weight.detach().reshape(16, 27) / (0.2 * 27**0.5)
    singular = torch.linalg.svdvals(update)
    assert 0.6 < float(singular.min()) and float(singular.max()) < 1.3
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=0.25)
