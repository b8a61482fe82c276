"""Remarks before a training run: what may surprise a user who meant something else."""

from __future__ import annotations

import difflib
import re

import torch

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError, UsageError
from decathlon.experiments.request import Fit
from decathlon.models.method import Method, Reader
from decathlon.runs.trunk_source import TrunkSource


def preflight_notes(source: TrunkSource, method: Method, recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return what may surprise a user who meant something else."""
    found = []
    if method.regime == "frozen" and not source.source and "." not in source.trunk.name:
        found.append("the trunk has random weights and stays frozen; name a trained run with --trunk RUN.")
    if method.inside and method.regime == "frozen" and not source.inside(method):
        found.append(
            f"{method.name()} wants a trunk that was trained with its adapters inside: "
            f"train one with --method {method.name()} --no-freeze and name it with --trunk."
        )
    elif source.learned and not source.plain and not method.continues(source.learned.method):
        found.append(
            f"{source.source} holds {source.learned.method} adapters, which {method.name()} leaves out with the "
            "norms beside them; name the run that trained the trunk itself."
        )
    found += _without_effect(method, recipe)
    size = source.asked["recipe"]["size"] if source.asked else recipe.size
    if size != recipe.size:
        found.append(f"the trunk was trained at {size} pixels, this run sees {recipe.size} (see --size).")
    return found + _misspelled(recipe, names)


def _without_effect(method: Method, recipe: Recipe) -> list[str]:
    """Return remarks on what was asked and changes nothing, or takes time without a word."""
    found = []
    if isinstance(method, Reader) and method.regime != "frozen" and method.options.norms == "trunk":
        found.append("norms=trunk changes nothing while the trunk learns: it goes with --freeze.")
    if recipe.compile and recipe.cache_taps:
        found.append("what reads cached taps is not compiled.")
    elif recipe.compile:
        found.append("the networks are compiled at the first step, which takes up to a minute or two.")
    return found


def _misspelled(recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return remarks on tables of a recipe that nearly name a domain of the file.

    Other names are let pass: a preset may know more domains than the file has. One that has a table already must
    be nearer, and more than a number apart: cifar10 beside cifar100 is another data set.
    """
    found = []
    for table in (table for table in recipe.domains if table not in names):
        free = [name for name in names if name not in recipe.domains]
        taken = [name for name in names if name in recipe.domains and _letters(name) != _letters(table)]
        near = difflib.get_close_matches(table.lower(), free, n=1, cutoff=0.75)
        near += difflib.get_close_matches(table.lower(), taken, n=1, cutoff=0.85)
        if near:
            found.append(f"the recipe speaks of {table}, which is not in the file; did you mean {near[0]}?")
    return found


def _letters(name: str) -> str:
    return re.sub(r"\d", "", name)


def check_possible(method: Method, recipe: Recipe, device: torch.device) -> None:
    """Raise UsageError where a recipe wants what the method or the device has not."""
    if recipe.cache_taps and not (isinstance(method, Reader) and method.regime == "frozen"):
        raise UsageError(
            f"method '{method.name()}' has no taps to cache here: that goes with feature, and with mtan and "
            "dense over a frozen trunk (--freeze)."
        )
    if recipe.cuda_graphs and device.type != "cuda":
        raise UsageError("CUDA graphs need a GPU: leave out cuda_graphs (--no-cuda-graphs).")


def check_categories(source: TrunkSource, domains: list[Domain]) -> None:
    """Refuse domains that go on with a head for other categories."""
    learned = {entry["name"]: entry["categories"] for entry in source.asked.get("domains", ())}
    for domain in domains:
        if list(domain.category_ids) != learned[domain.name]:
            raise DataError(
                f"{source.source} learned other categories of {domain.name} than the file holds: "
                "use the file it was trained on."
            )


def check_splits(packed: PackedFile, domains: list[Domain], fit: Fit) -> None:
    for domain in domains:
        for split in fit.split("+"):
            if not packed.count(domain.name, split):
                raise UsageError(f"{packed.path} has no {split} images of {domain.name}: leave the domain out.")
