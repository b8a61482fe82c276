"""Parameter groups, optimizer and learning-rate schedule of a run; the algorithms are timm's and torch's."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from decathlon.config.recipe import Recipe
from decathlon.models.method import Method
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.training.muon import Muon

FUSED = ("sgd", "momentum", "adam", "adamw")
FEWEST = 4  # rows and columns of a matrix that is worth making orthogonal


def groups(
    trunk: nn.Module,
    shared: nn.Module,
    networks: Mapping[str, DomainNetwork],
    recipe: Recipe,
    private: bool = False,
) -> list[dict[str, Any]]:
    """Return the trainable parameters, each once, by owner, by their optimizer and by whether they decay.

    Norms and biases (vectors) do not decay, unless the recipe says so. `lr_scale` is read by timm's schedulers,
    `aux` says that the group is the auxiliary optimizer's. With `private`, every domain has a trunk of its own.
    Every domain has groups of its own, with the decay of its own recipe: the fused optimizers want all of a group
    to have a gradient, or none.
    """
    owners = [(scale * recipe.trunk_lr, recipe, part) for scale, part in _by_depth(trunk, recipe)]
    owners.append((recipe.method_lr, recipe, list(shared.parameters())))
    for name, network in networks.items():
        own = recipe.for_domain(name)
        owners.append((recipe.head_lr, own, list(network.head.parameters())))
        bodies = _by_depth(network.body, recipe) if private else [(1.0, list(network.body.parameters()))]
        owners += [(scale * recipe.method_lr, own, part) for scale, part in bodies]
    heads = {id(p) for network in networks.values() for p in network.head.parameters()}
    seen: set[int] = set()
    made = []
    for scale, own, part in owners:
        fresh = [p for p in part if p.requires_grad and id(p) not in seen]
        seen |= {id(p) for p in fresh}
        auxiliary = {id(p) for p in fresh if recipe.auxiliary and (id(p) in heads or not _is_matrix(p))}
        for aux, vectors in itertools.product((False, True), repeat=2):
            members = [p for p in fresh if (id(p) in auxiliary) == aux and (p.ndim <= 1) == vectors]
            decay = own.aux_weight_decay if aux else own.weight_decay
            decay = 0.0 if vectors and not recipe.decay_norms else decay
            made.append({"params": members, "weight_decay": decay, "lr_scale": scale, "aux": aux})
    return [group for group in made if group["params"]]


def _by_depth(trunk: nn.Module, recipe: Recipe) -> list[tuple[float, list[nn.Parameter]]]:
    """Return the quarters of a trunk, its first layers first, each with the multiple of its rate."""
    members = list(trunk.parameters())
    if recipe.depth_lr == 1.0:
        return [(1.0, members)]
    cuts = [len(members) * quarter // 4 for quarter in range(5)]
    scales = (recipe.depth_lr ** (1 - quarter / 3) for quarter in range(4))
    return [
        (scale, members[begin:end]) for scale, (begin, end) in zip(scales, itertools.pairwise(cuts), strict=True)
    ]


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Return whether a weight, flattened to (outputs, rest), has enough rows and columns to be made orthogonal."""
    return parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= FEWEST


def make_optimizers(
    method: Method, shared: nn.Module, networks: Mapping[str, DomainNetwork], recipe: Recipe, bf16: bool = False
) -> list[torch.optim.Optimizer]:
    """Return the recipe's optimizer, its auxiliary one, and one for every part the method trains separately."""
    parts = [part for network in networks.values() if (part := method.apart(network.body))]
    taken = {id(p) for part in parts for p in part.parameters}
    ours = groups(method.trunk, shared, networks, recipe, private=method.regime == "private")
    for group in ours:
        group["params"] = [p for p in group["params"] if id(p) not in taken]
    ours = [group for group in ours if group["params"]]
    made = [make_optimizer(main, recipe, bf16)] if (main := [group for group in ours if not group["aux"]]) else []
    if aux := [group for group in ours if group["aux"]]:
        other = dataclasses.replace(recipe, optimizer=recipe.auxiliary, lr=recipe.lr * recipe.aux_lr)
        made.append(make_optimizer(aux, other))
    for part in parts:
        other = dataclasses.replace(recipe, optimizer=part.optimizer, lr=part.lr, weight_decay=0.0)
        made.append(make_optimizer([{"params": list(part.parameters)}], other))
    return made


def make_head_optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return an optimizer that trains parameters as those of heads train, without weight decay."""
    other = dataclasses.replace(recipe, optimizer=recipe.auxiliary or recipe.optimizer, weight_decay=0.0)
    rate = recipe.lr * recipe.head_lr * (recipe.aux_lr if recipe.auxiliary else 1.0)
    return make_optimizer([{"params": parameters}], dataclasses.replace(other, lr=rate))


def make_optimizer(groups: list[dict[str, Any]], recipe: Recipe, bf16: bool = False) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over parameter groups; the names are those of timm.

    With `bf16` Muon's iteration computes in bfloat16, as the networks do.
    """
    if recipe.optimizer == "muon":
        return Muon(groups, recipe.lr, recipe.momentum, recipe.weight_decay, bf16)
    # one fused pass over all tensors on a GPU: ten domains bring hundreds of small ones
    on_gpu = groups[0]["params"][0].is_cuda
    fused: dict[str, Any] = {"fused": True} if on_gpu and recipe.optimizer in FUSED else {}
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        groups, opt=recipe.optimizer, lr=recipe.lr, weight_decay=recipe.weight_decay,
        momentum=recipe.momentum, **fused,
    )  # fmt: skip
    return optimizer


def counters(optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Return the numbers in the parameter groups that no recipe sets: some optimizers (adan) count steps there."""
    options = {*optimizer.defaults, "lr_scale", "initial_lr"}
    return [
        {name: value for name, value in group.items() if type(value) in (int, float) and name not in options}
        for group in optimizer.param_groups
    ]


def optimizer_state(optimizers: Sequence[torch.optim.Optimizer]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what optimizers keep: tensors by optimizer, parameter and slot, and the plain values beside them."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for which, optimizer in enumerate(optimizers):
        for number, slots in optimizer.state_dict()["state"].items():
            for slot, value in slots.items():
                name = f"optimizer.{which}.{number}.{slot}"
                (tensors if isinstance(value, Tensor) else values)[name] = value
    return tensors, {"optimizer": values, "groups": [counters(optimizer) for optimizer in optimizers]}


def load_optimizers(
    optimizers: Sequence[torch.optim.Optimizer], tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Restore optimizers from what `optimizer_state` returned, which may stand among other tensors."""
    slots: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, value in (dict(tensors) | values["optimizer"]).items():
        if name.startswith("optimizer."):
            _, which, number, slot = name.split(".", 3)
            slots[int(which)].setdefault(int(number), {})[slot] = value
    for optimizer, own_slots, counted in zip(optimizers, slots, values["groups"], strict=True):
        load_slots(optimizer, own_slots, counted)


def load_slots(
    optimizer: torch.optim.Optimizer, slots: dict[int, dict[str, Any]], counted: list[dict[str, float]]
) -> None:
    """Restore an optimizer's state and group numbers, each slot laid out in memory as its parameter is.

    A stored tensor comes back in the plain layout; the fused optimizers walk memory, not strides, and would
    silently pair wrong elements with a channels_last parameter (seen in torch 2.15).
    """
    fresh = optimizer.state_dict()["param_groups"]
    restored = [group | numbers for group, numbers in zip(fresh, counted, strict=True)]
    optimizer.load_state_dict({"state": slots, "param_groups": restored})
    for parameter, state in optimizer.state.items():
        for slot, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[slot] = torch.empty_like(parameter).copy_(value)


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Scheduler:
    """Return a schedule over `steps` optimizer steps; `step_update(step)` sets the rates as a function of step."""
    warmup = round(recipe.warmup * steps)
    common: dict[str, Any] = {"warmup_t": warmup, "warmup_lr_init": 0.0, "t_in_epochs": False}
    if recipe.schedule == "cosine":
        # cycle_decay is of later cycles, and there is one; left at 1, timm warns of a run of a single step
        return CosineLRScheduler(optimizer, max(1, steps - warmup), cycle_decay=0.5, warmup_prefix=True, **common)
    # timm lowers the rate two steps before a milestone counted from 1
    falls = [round(part * steps) + 2 for part in recipe.milestones] if recipe.schedule == "step" else []
    return MultiStepLRScheduler(optimizer, falls or [2 * steps + 2], recipe.decay, **common)
