"""Which domain trains when, and which of its images: both are functions of seed, epoch and batch number.

A virtual epoch is a fixed number of micro-batches, shared out among the domains by a policy:

    proportional   by images: about once through each domain     power:a       by images ** a
    uniform        the same number of micro-batches for each     round-robin   uniform, in turn
    sequential     proportional, one domain after the other
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from decathlon.errors import UsageError, unknown
from decathlon.system.seeding import generator

CPU = torch.device("cpu")
POLICIES = ("proportional", "uniform", "power:a", "round-robin", "sequential")


def shares(images: list[int], policy: str, batch: int, epoch_batches: int | None = None) -> tuple[int, ...]:
    """Return how many micro-batches of each domain make one virtual epoch; at least one each.

    `images` are the domains' sizes. Without `epoch_batches` the epoch is as long as all images together.
    """
    weights = [count ** exponent(policy) for count in images]
    total = sum(-(-count // batch) for count in images) if epoch_batches is None else epoch_batches
    exact = [total * weight / sum(weights) for weight in weights]
    whole = [int(share) for share in exact]
    remainders = sorted(range(len(images)), key=lambda d: (whole[d] - exact[d], d))
    for domain in remainders[: total - sum(whole)]:
        whole[domain] += 1
    return tuple(max(1, share) for share in whole)


@functools.lru_cache(maxsize=4)  # called at every step
def epoch_plan(
    counts: tuple[int, ...], policy: str, together: bool, seed: int, epoch: int
) -> list[tuple[int, ...]]:
    """Return the domains (positions in `counts`) that train in each optimiser step of an epoch.

    `together` puts every domain into every step; otherwise a step has one domain.
    """
    if together:
        everyone = tuple(range(len(counts)))
        return [everyone] * max(1, round(sum(counts) / len(counts)))
    ordered = [domain for domain, count in enumerate(counts) for _ in range(count)]
    if policy == "sequential":
        return [(domain,) for domain in ordered]
    if policy == "round-robin":
        turns = [(turn, domain) for domain, count in enumerate(counts) for turn in range(count)]
        return [(domain,) for _, domain in sorted(turns)]
    shuffled = torch.randperm(len(ordered), generator=generator(seed, "plan", epoch)).tolist()
    return [(ordered[position],) for position in shuffled]


def sample(images: int, batch: int, number: int, seed: int, domain: str, device: torch.device = CPU) -> Tensor:
    """Return the image indices (batch,) of a domain's micro-batch `number`, counted from the start of training.

    The domain's images come in one permutation after another; a batch may straddle two. The indices are the same
    on every device and are copied to it once per pass over the images.
    """
    begin, end = number * batch, (number + 1) * batch
    parts = []
    for turn in range(begin // images, (end - 1) // images + 1):
        first = turn * images
        parts.append(_order(images, seed, domain, turn, device)[max(begin - first, 0) : end - first])
    return torch.cat(parts)


def _order(images: int, seed: int, domain: str, turn: int, device: torch.device) -> Tensor:
    """Return the permutation of one pass; it is kept until the pass after the next."""
    turns = _turns(images, seed, domain, device)
    if turn not in turns:
        for old in [other for other in turns if other < turn - 1]:
            del turns[old]
        turns[turn] = torch.randperm(images, generator=generator(seed, "order", domain, turn)).to(device)
    return turns[turn]


@functools.lru_cache(maxsize=1024)  # more domains than any run has: a permutation serves a whole pass
def _turns(images: int, seed: int, domain: str, device: torch.device) -> dict[int, Tensor]:
    return {}


def exponent(policy: str) -> float:
    """Return how a policy weighs a domain by its images; raises UsageError for a policy that does not exist."""
    kind, _, exponent = policy.partition(":")
    if policy in ("uniform", "round-robin"):
        return 0.0
    if policy in ("proportional", "sequential"):
        return 1.0
    if kind != "power":
        raise unknown("sampling policy", policy, POLICIES)
    try:
        value = float(exponent)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise UsageError(f"sampling policy '{policy}' needs an exponent from 0 to 2: write e.g. power:0.5.")
    return value
