"""Masks of piggyback: the threshold, the gradient past it, and bits on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from decathlon.adapters.piggyback import START, THRESHOLD, Mask, Piggyback, PiggybackOptions
from decathlon.config.recipe import Recipe
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.training.optimizer import make_optimizers
from decathlon.training.trainer import Trainer

VALUES = [0.01, 0.005, 0.0051, 0.0, -0.005, -0.0051, -1.0]


def masked(ternary: bool) -> Mask:
    mask = Mask(torch.ones(1, 7, 1, 1), ternary)
    with torch.no_grad():
        mask.mask.copy_(torch.tensor(VALUES).view_as(mask.mask))
    return mask


@pytest.mark.parametrize(("ternary", "wanted"), [(False, [1, 0, 1, 0, 0, 0, 0]), (True, [1, 0, 1, 0, -1, -1, -1])])
def test_what_is_above_the_threshold_stays(ternary: bool, wanted: list[int]) -> None:
    weight = torch.arange(1.0, 8.0).view(1, 7, 1, 1)
    assert masked(ternary)(weight).flatten().tolist() == [w * v for w, v in zip(wanted, range(1, 8), strict=True)]
    assert THRESHOLD < START


def test_the_gradient_passes_the_threshold_as_if_it_were_not_there() -> None:
    mask, weight = masked(False), torch.arange(1.0, 8.0).view(1, 7, 1, 1)
    mask(weight).sum().backward()
    assert torch.equal(mask.mask.grad, weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("ternary", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (5, 3, 3, 3), (16, 4, 3, 3)])
def test_bits_come_back_as_they_were(ternary: bool, shape: tuple[int, ...]) -> None:
    made = Piggyback(WideResNet(10, 1), options=PiggybackOptions(ternary=ternary))
    torch.manual_seed(0)
    mask = (torch.randn(shape) * 0.01).contiguous(memory_format=torch.channels_last)
    name = "body.stem.edit.mask"
    packed = made.pack({name: mask})
    bits = mask.numel() * (2 if ternary else 1)
    assert packed[name].dtype == torch.uint8 and packed[name].numel() == -(-bits // 8)
    assert 8 * packed[name].numel() == made.bits(name, mask)
    back = made.unpack(packed, {name: mask})[name]
    assert torch.equal(back > THRESHOLD, mask > THRESHOLD)
    if ternary:
        assert torch.equal(back < 0, mask < 0)


def test_masks_train_with_adam_and_the_rest_with_the_recipe() -> None:
    recipe = Recipe(lr=0.1, weight_decay=1e-4)
    made = Piggyback(WideResNet(10, 1), options=PiggybackOptions(lr=1e-3, own_norms=True))
    net = DomainNetwork(made.network(made.trunk, "boats"), made.trunk.features, 2)
    ours, masks = make_optimizers(made, nn.ModuleDict(), {"apples": net}, recipe)
    assert isinstance(masks, torch.optim.Adam)
    assert [group["lr"] for group in masks.param_groups] == [1e-3]
    assert {group["weight_decay"] for group in masks.param_groups} == {0.0}
    trained = {id(p) for group in masks.param_groups for p in group["params"]}
    assert trained == {id(part.mask) for part in net.modules() if isinstance(part, Mask)}
    rest = {id(p) for group in ours.param_groups for p in group["params"]}
    assert not rest & trained
    assert rest | trained == {id(p) for p in net.parameters() if p.requires_grad}


def test_the_masks_rate_follows_the_schedule(tiny: Path) -> None:
    recipe = Recipe(epochs=2, batch=8, size=16, warmup=0.5)
    made = MultiDomainModel(Piggyback(WideResNet(10, 1), options=PiggybackOptions(lr=1e-3)), 0, torch.device("cpu"))
    made.add("apples", 2)
    with PackedFile(tiny) as packed:
        pool = load_pool(packed, packed.benchmark["apples"], ("train",), recipe.size, recipe.resize)
    trainer = Trainer(made, {"apples": pool}, recipe, 0, bf16=False)
    rates = []
    while trainer.step < trainer.steps:
        trainer.advance()
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])
    assert all(masks == pytest.approx(main * 1e-3 / recipe.lr) for main, masks in rates)
    assert rates[0][1] < rates[2][1] > rates[-1][1]
