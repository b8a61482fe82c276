"""Which domain trains when, and which of its images: both are functions of seed, epoch and batch number."""

import functools

import torch
from torch import Tensor

from decathlon.system.seeding import generator

CPU = torch.device("cpu")


@functools.lru_cache(maxsize=4)  # called at every step
def epoch_plan(
    counts: tuple[int, ...], policy: str, together: bool, seed: int, epoch: int
) -> list[tuple[int, ...]]:
    """Return the domains (positions in `counts`) that train in each optimizer step of an epoch.

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
    turns = range(begin // images, (end - 1) // images + 1)
    orders = ((turn * images, _order(images, seed, domain, turn, device)) for turn in turns)
    return torch.cat([order[max(begin - first, 0) : end - first] for first, order in orders])


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
