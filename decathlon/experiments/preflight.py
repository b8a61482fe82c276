"""Before a training run: what is impossible is refused, what may be a mistake is noted."""

import difflib
import re
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Domain
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.models.image_size import refuse_size
from decathlon.models.method import Method, Reader
from decathlon.models.multi_domain_model import MultiDomainModel, domain_network
from decathlon.runs.record import Fit, RecordedChange
from decathlon.runs.trunk_source import TrunkSource
from decathlon.system.seeding import seeded
from decathlon.system.text import several
from decathlon.training.auxiliary import read_auxiliaries
from decathlon.training.objective import OBJECTIVES
from decathlon.training.weighting import WEIGHTINGS, Weighting

Starts = Mapping[str, Mapping[str, Tensor]]
TRUNK_IMAGES = "trunk images"  # the change of a run whose trunk was trained on another file's images


def preflight_notes(source: TrunkSource, method: Method, recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return notes on what may surprise a user who meant something else."""
    found = []
    if method.regime == "frozen" and not source.source and "." not in source.trunk.name:
        found.append("the trunk has random weights and stays frozen. Name a trained run with --trunk RUN.")
    if method.inside and method.regime == "frozen" and not source.inside(method):
        found.append(
            f"{method.name()} expects a trunk that was trained with its adapters inside. Train one with "
            f"--method {method.name()} --no-freeze and name it with --trunk."
        )
    elif (
        source.learned
        and not source.plain
        and not (source.continued(method) or source.learned.method == method.name())
    ):
        found.append(
            f"{source.source} holds {source.learned.method} adapters, which {method.name()} leaves out along "
            "with their norms. Name the run that trained the trunk itself."
        )
    if method.sequential and recipe.sampling != "sequential":
        found.append(
            f"{method.name()} holds the trunk near what the domain before left, and here turns are single steps. "
            "Add --sampling sequential."
        )
    found += _without_effect(method, recipe)
    size = source.record.recipe.size if source.record else recipe.size
    if size != recipe.size:
        found.append(f"the trunk was trained at {size} pixels, this run uses {recipe.size} (see --size).")
    return found + _misspelled(recipe, names)


def _without_effect(method: Method, recipe: Recipe) -> list[str]:
    """Return notes on options that have no effect, or that take time without showing it."""
    found = []
    if recipe.compile and method.mixed:
        found.append("batches of all domains (norms=trunk) are not compiled.")
    elif recipe.compile and recipe.cache_taps:
        found.append("networks that read cached taps are not compiled.")
    elif recipe.compile:
        found.append("the networks are compiled at the first step, which may take a minute or two.")
    return found


def enlarged_notes(packed: PackedFile, domains: list[Domain], recipe: Recipe, fit: Fit) -> list[str]:
    """Return a note where images were shrunk when they were packed, and are enlarged again for training."""
    largest = {domain.name: _largest(packed, domain.name, fit) for domain in domains}
    found: dict[str, tuple[int, int]] = {}
    for domain in domains:
        short, long = largest[domain.name]
        side = domain.packing.side if domain.packing else max(largest.values())[0]
        wanted = recipe.for_domain(domain.name).resize
        seen = long if recipe.facts(domain).crop == "full" else short
        if short >= side and seen < wanted:  # else the originals are as small as that
            found[domain.name] = side, wanted
    if not found:
        return []
    side, wanted = max(found.values(), key=lambda pair: pair[1])
    names = "images" if len(found) == len(domains) else f"those of {', '.join(found)}"
    return [
        f"{packed.path} was packed at {side} pixels, and {names} are enlarged to {wanted}. For sharper ones pack "
        f"it with --side {wanted}."
    ]


def _largest(packed: PackedFile, domain: str, fit: Fit) -> tuple[int, int]:
    """Return the largest shorter and the largest longer side of a domain's images."""
    sides = [[packed.column(domain, split, column) for column in ("height", "width")] for split in fit.split("+")]
    short, long = (max(int(of(*pair).max()) for pair in sides) for of in (np.minimum, np.maximum))
    return short, long


def _misspelled(recipe: Recipe, names: tuple[str, ...]) -> list[str]:
    """Return notes on tables of a recipe whose names are close to that of a domain in the file.

    Other names pass: a preset may cover more domains than the file has. For a domain that has its own table the
    match must be closer, and differ in more than a number: cifar10 beside cifar100 is another data set.
    """
    found = []
    for table in (table for table in recipe.domains if table not in names):
        free = [name for name in names if name not in recipe.domains]
        taken = [name for name in names if name in recipe.domains and _letters(name) != _letters(table)]
        near = difflib.get_close_matches(table.lower(), free, n=1, cutoff=0.75)
        near += difflib.get_close_matches(table.lower(), taken, n=1, cutoff=0.85)
        if near:
            found.append(f"the recipe has options for {table}, which is not in the file. Did you mean {near[0]}?")
    return found


def _check_weighting(method: Method, recipe: Recipe, weighting: type[Weighting]) -> None:
    """Raise UsageError where a weighting cannot see what it needs."""
    name = recipe.weighting
    if method.mixed and weighting.collect is not Weighting.collect:
        raise UsageError(
            f"weighting '{name}' needs the gradients of each domain, which batches of all domains "
            "(norms=trunk) do not have. Use --weighting equal."
        )
    convs = any(parameter.ndim == 4 for parameter in method.shared.parameters())
    learns = method.regime == "joint" or (convs and method.regime != "private")
    if weighting.reads_shared and not learns:
        raise UsageError(
            f"weighting '{name}' reads the gradients of what domains train together, and here they share nothing "
            "that learns. Let the trunk learn (--no-freeze), or use --weighting equal."
        )
    if weighting.needs_all and not recipe.together:
        raise UsageError(f"weighting '{name}' needs the gradients of all domains in every step. Add --together.")


def _letters(name: str) -> str:
    return re.sub(r"\d", "", name)


def check_possible(method: Method, recipe: Recipe, names: Iterable[str], device: torch.device) -> None:
    """Raise UsageError where a recipe needs what the method or the device does not have."""
    OBJECTIVES.find(recipe.objective)
    weighting = WEIGHTINGS.find(recipe.weighting)
    names = list(names)
    if method.mixed and not recipe.together and len(names) > 1:
        raise UsageError(
            "norms=trunk over a trunk that learns needs all domains in every step. Add --together, or --freeze."
        )
    _check_weighting(method, recipe, weighting)
    if read_auxiliaries(recipe) and (method.mixed or recipe.cache_taps or recipe.compile):
        raise UsageError(
            "auxiliary objectives read the taps of one domain's images. Leave out --auxiliaries, or norms=trunk, "
            "cache_taps and --compile."
        )
    if recipe.affinity and (method.regime != "joint" or method.mixed or len(names) < 2):
        raise UsageError(
            "affinity needs the gradients of several domains in a trunk that learns from each. Leave it out, or "
            "let the trunk learn (--no-freeze)."
        )
    if method.mixed and len({recipe.for_domain(name).size for name in names}) > 1:
        raise UsageError("batches of all domains (norms=trunk) need one size. Set --size for all domains.")
    if recipe.cache_taps and not (isinstance(method, Reader) and method.regime == "frozen"):
        raise UsageError(
            f"method '{method.name()}' has no taps to cache here. Use cache_taps with feature, or with mtan and "
            "dense over a frozen trunk (--freeze)."
        )
    if recipe.cuda_graphs and device.type != "cuda":
        raise UsageError("CUDA graphs need a GPU. Leave out cuda_graphs (--no-cuda-graphs).")


def check_size(model: MultiDomainModel, recipe: Recipe, names: list[str]) -> None:
    """Refuse images that are too small for the trunk, or for what a method reads in it."""
    with seeded("size"):
        network = domain_network(model.method, model.trunk, names[0], 1).to(model.device)
    own = [recipe.for_domain(name) for name in names]
    sizes = {one.size: "--size" for one in own}
    sizes |= {one.eval_cut: "--eval-size" for one in own if one.eval_cut not in sizes}
    for size, flag in sorted(sizes.items()):
        refuse_size(network, size, f"{model.trunk.name} with {model.method.name()}", flag)


def check_source(source: TrunkSource, method: Method, names: list[str]) -> None:
    """Refuse a run whose domains have trunks of their own, unless each of them continues with its own."""
    if source.record is None or source.record.regime != "private":
        return
    if not source.continued(method):
        raise UsageError(
            f"{source.source} has no shared trunk (method {source.record.method}). Train one, e.g. with "
            "--method bn, or name a trunk."
        )
    for name in [name for name in names if name not in source.record.names]:
        raise UsageError(f"{source.source} has not learned {name}. Leave it out, or name a trunk.")


def continued_notes(source: TrunkSource, method: Method, names: list[str]) -> list[str]:
    """Return notes on whether a method over a run of its own kind continues with what that run learned."""
    if source.learned is None or source.record is None or source.learned.method != method.name():
        return []
    if not source.continued(method):
        return [
            f"{source.source} was trained as {source.record.label}; with other options {method.name()} takes its "
            "trunk alone and starts anew."
        ]
    new = [name for name in names if name not in source.learned.deltas]
    if len(new) == len(names):
        return [f"{source.source} has none of these domains; they start anew over its trunk."]
    known = several(len(names) - len(new), "domain")
    found = [f"continuing with what {source.source} learned in {known}, heads included."]
    if new:
        found.append(f"{', '.join(new)} start{'s' if len(new) == 1 else ''} anew.")
    if source.norms and not method.takes_norms:
        found.append("norms=trunk puts one set of norms, their mean, in place of those it learned for each domain.")
    return found


def trunk_changes(
    source: TrunkSource, method: Method, packed: PackedFile, names: list[str]
) -> tuple[RecordedChange, ...]:
    """Return what the run of the trunk was trained on that this file does not hold, as the change that it is.

    Domains are compared by the images that are predicted: those of a trunk's training may be among them. What was
    changed for the trunk's own run counts here too. A method that takes a trunk's structure alone takes none of it.
    """
    if source.record is None or method.fresh:
        return ()
    found = [
        domain.name
        for domain in source.record.domains
        if domain.name in names and domain.digests and _others(domain.digests, packed.digests(domain.name))
    ]
    before = [change for change in source.record.changes if change.name in ("data", TRUNK_IMAGES)]
    if not found and not before:
        return ()
    now = ", ".join(found) or "its domains"
    return (RecordedChange(TRUNK_IMAGES, str(source.record.data.path), now, 0),)


def _others(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return any(now[split] != before.get(split) for split in ("val", "test") if split in now)


def trained_heads(source: TrunkSource, method: Method, names: list[str], starts: Starts) -> Starts:
    """Return what domains start from, with the heads they have in the trunk's run put in."""
    if source.learned is None or method.fresh:
        return starts
    found = {name: dict(start) for name, start in starts.items()}
    for name in [name for name in names if name in source.learned.deltas]:
        heads = {key: head for key, head in source.learned.deltas[name].items() if key.startswith("head.")}
        found[name] = found.get(name, {}) | heads
    return found


def own_heads(source: TrunkSource, domains: list[Domain], starts: Starts) -> tuple[Starts, list[str]]:
    """Return what domains start from without heads for other categories than the file holds, and notes on it."""
    learned = {domain.name: domain.categories for domain in source.record.domains} if source.record else {}
    kept, notes = dict(starts), []
    for domain in [domain for domain in domains if domain.name in starts]:
        if domain.category_ids != learned.get(domain.name, domain.category_ids):
            start = starts[domain.name]
            kept[domain.name] = {name: start[name] for name in start if not name.startswith("head.")}
            notes.append(f"{source.source} learned other categories of {domain.name}, whose head starts anew.")
    return kept, notes


def check_kept(packed: PackedFile, names: list[str], fit: Fit, recipe: Recipe) -> None:
    """Refuse to keep the best epoch where nothing tells which one it was."""
    if recipe.keep == "last":
        return
    for name in names:
        if "val" in fit or not packed.count(name, "val") or (packed.column(name, "val", "label") < 0).any():
            raise UsageError(
                f"keep = best needs labelled validation images that are not trained on, and {name} has none here. "
                "Use --keep last."
            )


def check_splits(packed: PackedFile, domains: list[Domain], fit: Fit) -> None:
    for domain in domains:
        for split in fit.split("+"):
            if not packed.count(domain.name, split):
                raise UsageError(f"{packed.path} has no {split} images of {domain.name}. Leave the domain out.")
