"""A tree of domains under a budget, from how alike their features are (Vandenhende et al. 2020).

https://arxiv.org/abs/1904.02920: domains that see images differently at a stage should not share it. The tree is
chosen from its leaves to its root: the branches of a stage are those of the next one, merged by average linkage.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from torch import nn

from decathlon.errors import UsageError
from decathlon.models.surgery import named_convs

Affinity = Mapping[str, Mapping[str, float]]
Groups = list[list[str]]


def choose_tree(
    affinities: Sequence[Affinity], sizes: Sequence[float], budget: float
) -> tuple[list[Groups], float]:
    """Return the branches of every stage, from the first on, and their size, at most `budget`.

    `affinities` holds a table for every stage, `sizes` first the part of a trunk that all domains share and then
    that of each stage, in trunks. Of all trees that fit, the one whose domains differ least within their branches
    is taken, and of equal ones the smallest. Raises UsageError where no tree fits.
    """
    names = list(affinities[0])
    found: tuple[float, float, list[Groups]] | None = None
    for counts in itertools.combinations_with_replacement(range(1, len(names) + 1), len(affinities)):
        size = sizes[0] + sum(count * each for count, each in zip(counts, sizes[1:], strict=True))
        if size > budget + 1e-9:
            continue
        groups: Groups = [[name] for name in names]
        tree: list[Groups] = []
        for count, affinity in reversed(list(zip(counts, affinities, strict=True))):
            groups = merged(groups, affinity, count)
            tree.insert(0, groups)
        cost = sum(apart(stage, affinity) for stage, affinity in zip(tree, affinities, strict=True))
        if found is None or (cost, size) < found[:2]:
            found = cost, size, tree
    if found is None:
        raise UsageError(f"a budget of {budget:g} is less than one trunk. Choose --budget 1 or more.")
    return found[2], found[1]


def merged(groups: Groups, affinity: Affinity, count: int) -> Groups:
    """Return `count` groups: the two that are most alike on average are merged, again and again."""
    groups = [list(group) for group in groups]
    while len(groups) > count:
        one, two = max(
            itertools.combinations(range(len(groups)), 2),
            key=lambda pair: _between(groups[pair[0]], groups[pair[1]], affinity),
        )
        groups[one] += groups.pop(two)
    order = {name: place for place, name in enumerate(affinity)}
    return sorted((sorted(group, key=order.__getitem__) for group in groups), key=lambda group: order[group[0]])


def _between(one: Sequence[str], two: Sequence[str], affinity: Affinity) -> float:
    return sum(affinity[a][b] for a in one for b in two) / (len(one) * len(two))


def apart(groups: Groups, affinity: Affinity) -> float:
    """Return the mean over all domains of 1 - their mean affinity with their group, themselves included."""
    total = sum(1 - _between([name], group, affinity) for group in groups for name in group)
    return total / sum(map(len, groups))


def stage_sizes(trunk: nn.Module, stages: Sequence[nn.Module]) -> list[float]:
    """Return the part of a trunk's convolutions outside of its stages, and in each of them; together 1."""
    whole, *parts = (sum(conv.weight.numel() for _, conv in named_convs(part)) for part in (trunk, *stages))
    return [(whole - sum(parts)) / whole, *(part / whole for part in parts)]


def to_text(tree: Sequence[Groups]) -> str:
    """Return a tree as `--set tree=...` takes it."""
    return "/".join("|".join(",".join(group) for group in stage) for stage in tree)
