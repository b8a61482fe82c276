"""How alike the domains' networks see the same images: CKA and RSA of their features at every tap.

CKA: Kornblith et al. 2019, "Similarity of neural network representations revisited"
(https://arxiv.org/abs/1905.00414); without the bias of few images: Nguyen et al. 2021
(https://arxiv.org/abs/2010.15327). RSA: Kriegeskorte et al. 2008, as Dwivedi and Roig 2019 use it for the
affinity of tasks (https://arxiv.org/abs/1904.11740).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.models.multi_domain_model import trunk_in
from decathlon.runs.loading import LoadedRun
from decathlon.system.device import autocast

Measure = Literal["cka", "rsa"]
FEWEST = 4  # images that the unbiased estimate needs


def cka(one: Tensor, two: Tensor) -> float:
    """Return the unbiased linear CKA of features of the same images, (images, any) and (images, any)."""
    kernels = [features.double() @ features.double().T for features in (one, two)]
    across, first, second = (_hsic(kernels[i], kernels[j]) for i, j in ((0, 1), (0, 0), (1, 1)))
    return across / math.sqrt(max(first * second, 1e-30))


def _hsic(one: Tensor, two: Tensor) -> float:
    """Return the unbiased Hilbert-Schmidt independence criterion of two kernels (images, images)."""
    n = len(one)
    k, l = (kernel - kernel.diagonal().diag() for kernel in (one, two))  # noqa: E741
    total = (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) * l.sum(0)).sum() / (n - 2)
    return float(total / (n * (n - 3)))


def rsa(one: Tensor, two: Tensor) -> float:
    """Return the rank correlation of the distances (1 - correlation) between images in both features."""
    above = torch.triu_indices(len(one), len(one), 1)
    ranks = [_ranks((1 - torch.corrcoef(features.double()))[above[0], above[1]]) for features in (one, two)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def _ranks(values: Tensor) -> Tensor:
    """Return ranks, equal values with the mean of theirs."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return ranks[inverse]


MEASURES: dict[Measure, Callable[[Tensor, Tensor], float]] = {"cka": cka, "rsa": rsa}


@torch.inference_mode()
def features(run: LoadedRun, packed: PackedFile, images: int) -> list[dict[str, Tensor]]:
    """Return for every tap each network's features (probes, channels) of the same probes.

    Probes are the first `images` validation images of every domain, or training images where it has none, each
    normalised as its own domain's are; all networks see the same tensors. Raises UsageError where a network has no
    trunk to read.
    """
    probes = torch.cat([_probes(run, packed, name, images) for name in run.networks])
    if len(probes) < FEWEST:
        raise UsageError(f"{len(probes)} images are too few to compare features by. Add --images.")
    found: list[dict[str, Tensor]] = []
    for name, network in run.networks.items():
        trunk = trunk_in(network.eval())
        if trunk is None:
            raise UsageError(f"the network of {name} in {run.folder} has no trunk to read. Choose another run.")
        with autocast(run.model.device, run.record.bf16):
            taps = [tap.mean((2, 3)).float().cpu() for tap in trunk.taps(probes)]
        found = found or [{} for _ in taps]
        for tap, values in zip(found, taps, strict=False):
            tap[name] = values
    return found


def _probes(run: LoadedRun, packed: PackedFile, name: str, images: int) -> Tensor:
    recipe = run.record.recipe
    split: Literal["val", "train"] = "val" if packed.count(name, "val") else "train"
    own, domain = recipe.for_domain(name), recipe.facts(packed.benchmark[name])
    pool = load_pool(packed, domain, (split,), recipe.eval_cut, own.resize, run.model.device)
    return pool.batch(torch.arange(min(images, len(pool)), device=pool.home))


def table(values: Mapping[str, Tensor], measure: Measure) -> dict[str, dict[str, float]]:
    """Return the measure of every pair of networks, by name; 1 with itself."""
    return matrix(list(values), lambda one, two: MEASURES[measure](values[one], values[two]))


def matrix(names: Sequence[str], pair: Callable[[str, str], float]) -> dict[str, dict[str, float]]:
    """Return a symmetric table of all pairs of names, 1 on its diagonal."""
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for place, one in enumerate(names):
        for two in names[place:]:
            found[one][two] = found[two][one] = 1.0 if one == two else pair(one, two)
    return {name: {other: found[name][other] for other in names} for name in names}
