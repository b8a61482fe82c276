"""Predictions of a run on a split of a packed file, as a results file of the challenge."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from decathlon.config.recipe import OWN, Recipe
from decathlon.data.domains import Domain
from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.inference.evaluate import BATCH, predict
from decathlon.inference.merging import merge
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.runs.loading import load
from decathlon.runs.record import RunRecord
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import write_results
from decathlon.system.checksums import combine
from decathlon.system.device import find_device
from decathlon.system.resources import memory_for, refuse_unwritable
from decathlon.system.text import first


def predict_run(
    run: Run | str | Path, data: str | Path, split: Literal["val", "test"], out: str | Path,
    device: str | None = None, merged: bool = True, batch: int = BATCH, allow_change: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Write predictions for every trained domain of a run; return the number of images per domain.

    A domain without images in the split has 0 and is left out. `merged` predicts with adapters merged and norms
    folded, which is faster and equal up to rounding; `batch` images are predicted at a time. Raises DataError when
    no domain has images, UsageError when the file lacks one of the run's domains, ResourceError when memory runs
    out, and VerificationError when the file's categories are not those the run learned, in the same order, or,
    without `allow_change`, when it holds other images of its domains than the file the run was trained on: the run
    may have trained on them.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    data, out = Path(data), Path(out)
    refuse_unwritable(out)  # before an hour of work
    record = run.read_done()
    model = load(run, record, find_device(device)).model
    image_ids: list[int] = []
    category_ids: list[int] = []
    with PackedFile(data) as packed:
        others = _others(packed, run, record, split)
        if others and not allow_change:
            raise VerificationError(_refusal(packed, run, record, split, others))
        counts = {name: packed.count(name, split) for name in model.networks}
        domains = [packed.benchmark[name] for name, count in counts.items() if count]
        for domain in domains:
            network = model.networks[domain.name]
            pool = _pool(packed, domain, split, record.recipe, model.device)
            with memory_for(f"with --batch {batch}", f"try --batch {batch // 4 or 1}, or --device cpu"):
                logits = predict(_plain(network) if merged else network, pool, record.bf16, batch)
            labels = logits.argmax(1).tolist()
            image_ids += pool.image_ids
            category_ids += [domain.category_ids[label] for label in labels]
        made_from = _made_from(packed, record, split, domains)
    if not image_ids:
        raise DataError(f"{data} has no {split} split of any domain that {run.folder} learned. Add one.")
    protocol = _protocol(record, split, _own(record.recipe, domains), ["images"] if others else [])
    write_results(out, image_ids, category_ids, protocol | made_from)
    return counts


def _others(packed: PackedFile, run: Run, record: RunRecord, split: str) -> list[str]:
    """Return the domains with other images or facts than the file that the run was begun with.

    Raises VerificationError for other categories.
    """
    found = []
    if absent := [name for name in record.names if name not in packed.benchmark.names]:
        problem = f"{packed.path} does not hold {first(absent)}, which {run.folder} learned"
        raise UsageError(f"{problem}. Name the file it was trained on.")
    for domain in record.domains:
        if packed.benchmark[domain.name].category_ids != domain.categories:
            problem = f"{packed.path} has other categories of {domain.name} than {run.folder} learned, or other ids"
            raise VerificationError(f"{problem} of them. Use the file it was trained on, or train again.")
        now = packed.digests(domain.name)
        # an earlier release recorded one digest alone, that of the whole file
        same = all(now[part] == domain.digests.get(part) for part in (split, "facts") if part in now)
        if split in now and not (same or packed.digest == record.data.digest):
            found.append(domain.name)
    return found


def _refusal(packed: PackedFile, run: Run, record: RunRecord, split: str, others: list[str]) -> str:
    """Say that a packed file does not hold the images it should, or not with the facts it should."""
    there = record.data.path.exists() and record.data.path.samefile(packed.path)
    fix = "Restore that file" if there else f"Name {record.data.path}"
    fix = f"{fix}, or add --allow-change to predict them anyway."
    if not any(domain.digests for domain in record.domains):
        return (
            f"{packed.path} is not the file that {run.folder} was trained on, as it was then: an earlier release "
            f"recorded nothing that would tell its {split} images. {fix}"
        )
    return (
        f"{packed.path} holds other {split} images or channel means of {first(others)} than the file that "
        f"{run.folder} was trained on, which may have had some of them among those it trained on. {fix}"
    )


def _made_from(packed: PackedFile, record: RunRecord, split: str, domains: list[Domain]) -> dict[str, Any]:
    """Return the digests of what results are made from: the splits, by domain their images, and the weights."""
    names = [domain.name for domain in domains]
    images = {name: packed.images_digest(name, split) for name in names}
    found = {
        "data": combine({name: packed.split_digest(name, split) for name in names}),
        "images": {name: digest for name, digest in images.items() if digest is not None},
        "weights": record.weights,
    }
    return {name: value for name, value in found.items() if value}


def _pool(
    packed: PackedFile, domain: Domain, split: Literal["val", "test"], recipe: Recipe, device: torch.device
) -> ImagePool:
    """Load the images of a domain's split, cut as in validation."""
    own = recipe.for_domain(domain.name)
    with memory_for(f"for the images of {domain.name}", "end other programs, or use --device cpu"):
        return load_pool(packed, recipe.facts(domain), (split,), own.eval_cut, own.resize, device)


def _plain(network: DomainNetwork) -> DomainNetwork:
    try:
        return merge(network)
    except UsageError:  # adapters on convolutions that cannot take them in, as in some trunks of timm
        return network


def _protocol(record: RunRecord, split: str, own: str, also: list[str]) -> dict[str, Any]:
    """Return how the results were made; `own` names the options that single domains have of their own.

    `also` names what was changed for the prediction alone.
    """
    changed = " and ".join(dict.fromkeys([*(change.name for change in record.changes), *also]))
    recipe = record.recipe
    cut = recipe.eval_size if recipe.eval_cut != recipe.size else ""
    protocol = {
        "method": record.label, "regime": record.regime, "trunk": record.trunk.name,
        "trained": record.trunk.trained, "fit": record.fit, "split": split, "seed": record.seed,
        "epochs": recipe.epochs, "keep": "" if recipe.keep == "last" else recipe.keep,
        "average": "" if recipe.average == "none" else recipe.average,
        "size": recipe.size, "eval_size": cut, "own": own, "changed": changed, "benchmark": record.benchmark,
    }  # fmt: skip
    return {name: value for name, value in protocol.items() if value != "" or name == "benchmark"}


def _own(recipe: Recipe, domains: list[Domain]) -> str:
    """Name the recipe options that differ between the domains of a run, as in `epochs of boats`."""
    shared = replace(recipe, domains={})
    differing = []
    for option in OWN:
        names = [d.name for d in domains if _effective(recipe, d)[option] != _effective(shared, d)[option]]
        if names:
            differing.append(f"{option} of {names[0] if len(names) == 1 else f'{len(names)} domains'}")
    return " and ".join(differing)


def _effective(recipe: Recipe, domain: Domain) -> dict[str, Any]:
    """Return the options in effect for a domain: `flip = false` changes nothing for one that is never flipped."""
    facts, own = recipe.facts(domain), recipe.for_domain(domain.name)
    sizes = {"side": own.resize, "eval_size": own.eval_cut}
    return vars(own) | sizes | {"crop": facts.crop, "flip": facts.flip}
