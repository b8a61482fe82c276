"""Recipes that carry a paper's name, against the values of the published code; docs/fidelity.md has its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from decathlon.config.recipe_files import find_recipe, recipes
from decathlon.data.domains import Domain
from decathlon.data.official import OFFICIAL
from decathlon.models.registry import METHODS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fidelity.md").read_text()
NO_FLIP = ("gtsrb", "omniglot", "svhn")  # of the published transforms; the benchmark's facts say the same
NAMES = list(OFFICIAL)


def like(names: tuple[str, ...], inside: Any, outside: Any) -> dict[str, Any]:
    """Return a value by domain: one for some names, another for the rest."""
    return {name: inside if name in names else outside for name in NAMES}


def every(value: Any) -> dict[str, Any]:
    return like((), None, value)


STEPS = {"schedule": every("step"), "warmup": every(0.0), "momentum": every(0.9), "label_smoothing": every(0.0)}
CUT = {"resize": every(72), "crop": every("crop")}
# by recipe: what a name of Recipe, or of this test's `resolved`, is for each domain in the published code
PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "residual-adapters": STEPS | CUT | {
        "epochs": every(120), "batch": every(128), "optimizer": every("momentum"), "lr": every(0.1),
        "norm_decay": every(1e-4), "weight_decay": every(1e-4), "falls": every([80, 100]), "decay": every(0.1),
        "size": like(NO_FLIP, 72, 64), "eval_cut": like(NO_FLIP, 72, 64), "random_crop": like(NO_FLIP, False, True),
        "flip": like(NO_FLIP, False, True), "keep": every("best"), "together": every(False),
    },
    "mtan": STEPS | CUT | {
        "epochs": every(300), "batch": every(128), "optimizer": every("sgd"), "lr": every(0.1),
        "norm_decay": every(5e-5), "weight_decay": every(5e-5), "falls": every([50, 100, 150, 200, 250]),
        "decay": every(0.5), "size": every(72), "eval_cut": every(72), "random_crop": like(NO_FLIP, False, True),
        "flip": like(NO_FLIP, False, True), "keep": every("last"), "sampling": every("sequential"),
    },
    "url": STEPS | {
        "epochs": every(120), "epoch_batches": every(100), "batch": every(128), "optimizer": every("momentum"),
        "lr": every(0.01), "norm_decay": every(1e-4), "weight_decay": every(1e-4), "falls": every([80, 100]),
        "decay": every(0.1), "size": every(64), "eval_cut": every(64), "resize": every(72),
        "crop": like(("aircraft", "daimlerpedcls"), "squash", "crop"), "random_crop": every(True),
        "flip": like(NO_FLIP, False, True), "keep": every("best"), "together": every(True),
    },
    "spottune": STEPS | {
        "epochs": every(110), "batch": every(128), "optimizer": every("momentum"), "lr": every(0.1),
        "weight_decay": like(("aircraft", "daimlerpedcls", "omniglot", "ucf101"), 5e-4, 0.0)
        | {"vgg-flowers": 1e-4, "imagenet12": 1e-4},
        "falls": every([40, 60, 80]), "decay": every(0.1), "resize": every(72), "eval_cut": every(72),
        "size": like((*NO_FLIP, "daimlerpedcls"), 72, 64), "flip": every(False), "keep": every("last"),
        "random_crop": like((*NO_FLIP, "daimlerpedcls"), False, True), "decay_norms": every(True),
    },
    "piggyback": STEPS | {
        "epochs": every(30), "batch": every(32), "optimizer": every("adam"), "lr": every(1e-4),
        "weight_decay": every(0.0), "norm_decay": every(0.0), "falls": every([15]), "decay": every(0.1),
        "keep": every("best"),
    },
    "dan": STEPS | CUT | {
        "epochs": every(150), "batch": every(128), "optimizer": every("sgd"), "lr": every(0.1),
        "weight_decay": every(5e-4), "norm_decay": every(5e-4), "falls": every([34, 69, 104, 139]),
        "decay": every(0.1), "size": every(64), "eval_cut": every(64), "random_crop": every(True),
    },
}  # fmt: skip
PUBLISHED["mtan-nine"] = PUBLISHED["mtan"] | {"epochs": every(100), "lr": every(0.01), "falls": every([50])}


def resolved(recipe_name: str, domain_name: str) -> dict[str, Any]:
    """Return what a recipe comes to for an official domain."""
    recipe = find_recipe(recipe_name)
    known = OFFICIAL[domain_name]
    domain = Domain(domain_name, known.index, (), known.mean, known.std, known.flip, known.crop)
    own, facts = recipe.for_domain(domain_name), recipe.facts(domain)
    return vars(own) | {
        "resize": own.resize,
        "eval_cut": own.eval_cut,
        "crop": facts.crop,
        "random_crop": own.augment,
        "flip": own.augment and facts.flip,
        "norm_decay": own.weight_decay if own.decay_norms else 0.0,
        "falls": [round(part * own.epochs) for part in own.milestones],
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_with_a_papers_name_has_the_published_values(name: str) -> None:
    for domain in NAMES:
        found = resolved(name, domain)
        for option, wanted in PUBLISHED[name].items():
            assert found[option] == wanted[domain], (domain, option)


def test_every_recipe_but_our_own_is_compared() -> None:
    assert recipes().keys() - PUBLISHED.keys() == {"common", "quick", "sgd"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|\n").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip(" |") for cell in line] for line in lines[2:]]


def test_the_page_has_a_row_for_every_method_and_every_recipe() -> None:
    methods = [name for row in rows("Methods") for name in re.findall(r"`([\w-]+)`", row[0])]
    assert sorted(methods) == sorted(METHODS.names())
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(row[0] for row in rows("Recipes")))) == sorted(recipes())
