"""Augmentation does what the recipe says, skips what a domain's facts forbid, and is a function of its key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F  # type: ignore[import-untyped]

from decathlon.config.recipe import Recipe
from decathlon.data.image_pool import ImagePool
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.system.progress import TrainingProgress
from decathlon.training.augmentation import Augmentation, coloured, cut_out, grown_size, resized
from tests.helpers.marks import slow
from tests.helpers.packs import TINY
from tests.helpers.runs import RECIPE, digests, dying_at, go

INDEX = torch.arange(6)
ALL: dict[str, Any] = {
    "pad": 2, "color": 0.4, "policy": "randaugment", "cutout": 0.5, "mixup": 0.5, "cutmix": 1.0, "size_from": 8,
}  # fmt: skip


def pool(domain: str = "boats") -> ImagePool:
    draws = np.random.default_rng(0).integers(0, 256, (6, 18, 18, 3), dtype=np.uint8)
    return ImagePool(TINY[domain], list(draws), torch.arange(6) % 2, list(range(6)), 16)


@pytest.mark.parametrize(
    "change",
    [{"pad": 2}, {"color": 0.4}, {"policy": "randaugment"}, {"policy": "trivialaugment"}, {"cutout": 0.5}, ALL],
)
def test_every_change_is_a_function_of_its_key(change: dict[str, Any]) -> None:
    flips = next(name for name in TINY.names if TINY[name].flip)
    recipe, source = Recipe(size=16).override(change), pool(flips)
    first, again = (Augmentation(recipe, source, 7).images(INDEX, 3) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (6, 3, 16, 16)
    torch.rand(5)  # the state of the global generator is nothing to it
    assert torch.equal(Augmentation(recipe, source, 7).images(INDEX, 3), first)
    assert not torch.equal(Augmentation(recipe, source, 7).images(INDEX, 4), first)
    assert not torch.equal(Augmentation(recipe, source, 8).images(INDEX, 3), first)
    assert not torch.equal(Augmentation(Recipe(size=16), source, 7).images(INDEX, 3), first)
    still = Augmentation(recipe.override({"augment": False}), source, 7)
    assert torch.equal(still.images(INDEX, 3), source.batch(INDEX))
    images, labels = still.mix(first, source.labels_of(INDEX), 3)
    assert images is first and labels.ndim == 1


def test_without_changes_it_is_crop_and_flip_as_ever() -> None:
    source = pool()
    found = Augmentation(Recipe(size=16), source, 7).images(INDEX, 3)
    assert torch.equal(found, source.batch(INDEX, seed=(7, "augment", "boats", 3)))


def test_images_that_must_not_be_mirrored_are_not_turned() -> None:
    fixed = next(name for name in TINY.names if not TINY[name].flip)
    recipe = Recipe(size=16, policy="trivialaugment")
    assert Augmentation(recipe, pool(fixed), 7).changes == []
    plain = Augmentation(Recipe(size=16), pool(fixed), 7).images(INDEX, 3)
    assert torch.equal(Augmentation(recipe, pool(fixed), 7).images(INDEX, 3), plain)


def test_padding_shows_the_mean_colour_and_moves_an_image() -> None:
    source = pool()
    seen = torch.stack([source.batch(INDEX, seed=(number,), pad=5) for number in range(20)])
    fill = source.normalised(source.fill.view(1, 3, 1, 1))[0]
    border = (seen == fill).all(2)
    assert 0.05 < border.float().mean() < 0.5
    assert float((fill.abs() * TINY["boats"].std[0] * 255).max()) <= 1.0  # half a level of rounding
    whole = source.batch(INDEX, seed=(1,), pad=0)
    assert torch.equal(whole, source.batch(INDEX, seed=(1,)))


@pytest.mark.parametrize("seed", range(6))
def test_colours_change_as_torchvision_changes_those_of_one_image(seed: int) -> None:
    images = torch.rand(5, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    found = coloured(images, 0.4)
    torch.manual_seed(seed)
    factors = (1 + 0.4 * (2 * torch.rand(3, 5) - 1)).T.tolist()
    changes = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation]
    order = torch.randperm(3).tolist()
    for image, one, given in zip(images, found, factors, strict=True):
        for change in order:
            image = changes[change](image, given[change])
        torch.testing.assert_close(one, image, rtol=1e-5, atol=1e-5)


def test_normalised_images_are_coloured_in_their_own_range() -> None:
    source = pool()
    images = Augmentation(Recipe(size=16, color=1.0), source, 7).images(INDEX, 3)
    levels = (images - source.shift) / (255 * source.scale)
    assert float(levels.min()) >= -1e-5 and float(levels.max()) <= 1 + 1e-5
    barely = Augmentation(Recipe(size=16, color=1e-6), source, 7).images(INDEX, 3)
    plain = Augmentation(Recipe(size=16), source, 7).images(INDEX, 3)
    torch.testing.assert_close(barely, plain, rtol=1e-3, atol=1e-4)


def test_a_square_is_cut_out_anywhere() -> None:
    torch.manual_seed(0)
    holes = cut_out(torch.ones(4000, 3, 16, 16), 8)[:, 0] == 0
    areas = holes.flatten(1).sum(1)
    assert int(areas.max()) == 64 and int(areas.min()) >= 16
    assert all(
        len(set(hole.sum(side)[hole.any(side)].tolist())) == 1 for hole in holes[:50] for side in (0, 1)
    )  # rectangles
    middle, corner = holes[:, 8, 8].float().mean(), holes[:, 0, 0].float().mean()
    assert float(middle) == pytest.approx(64 / 256, abs=0.03) and 0.03 < float(corner) < 0.12


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_as_images_are(kind: str) -> None:
    source = pool()
    augmentation = Augmentation(Recipe(size=16).override({kind: 1.0}), source, 7)
    images, labels = torch.zeros(6, 3, 16, 16), source.labels_of(INDEX)
    images[labels == 1] = 1.0
    for number in range(5):
        mixed, soft = augmentation.mix(images, labels, number)
        assert soft.shape == (6, len(TINY["boats"].categories))
        torch.testing.assert_close(soft.sum(1), torch.ones(6))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft[:, 1], atol=1e-6, rtol=0)


def test_images_grow_from_the_first_epoch_on() -> None:
    recipe = Recipe(size=32, size_from=16, size_by=0.5, epochs=8)
    assert [grown_size(recipe, epoch) for epoch in range(8)] == [16, 20, 24, 28, 32, 32, 32, 32]
    assert grown_size(Recipe(size=32), 0) == 32
    assert resized(torch.zeros(2, 3, 32, 32), 20).shape == (2, 3, 20, 20)
    assert math.isclose(float(resized(torch.full((1, 3, 32, 32), 0.5), 20).mean()), 0.5, rel_tol=1e-5)
    with pytest.raises(UsageError, match="size_from is 40, it must be 0 or from 8 to size 32"):
        Recipe(size=32, size_from=40)


@pytest.mark.parametrize("change", [ALL, *(slow({name: value}) for name, value in ALL.items())])
@pytest.mark.parametrize("method", ["bn", slow("split")])
def test_a_killed_run_sees_the_same_images(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], method: str
) -> None:
    options: dict[str, Any] = {"norms": "trunk"} if method == "split" else {}
    regime: Any = "joint" if method == "split" else None
    common = {"optimizer": "muon", "aux_optimizer": "adamw", "lr": 0.01, "together": method == "split"}
    recipe = RECIPE.override(change | common)
    whole = go(tiny, tmp_path / "whole", method, recipe=recipe, options=options, regime=regime)
    with dying_at(monkeypatch, 13 if method == "bn" else 1):
        go(tiny, tmp_path / "killed", method, recipe=recipe, options=options, regime=regime)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)
