from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from decathlon.data import domain_sampling
from decathlon.data.domain_sampling import epoch_plan, sample
from decathlon.data.sampling_policy import shares
from decathlon.errors import UsageError


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("proportional", (1, 4, 16)), ("uniform", (7, 7, 7)), ("power:0.5", (3, 6, 12)), ("sequential", (1, 4, 16))],
)
def test_an_epoch_is_shared_out_by_policy(policy: str, expected: tuple[int, ...]) -> None:
    assert shares([64, 256, 1024], policy, 64) == expected


def test_every_domain_gets_a_batch_and_the_length_can_be_set() -> None:
    assert shares([1, 100000], "proportional", 64, 100) == (1, 100)


@pytest.mark.parametrize("policy", ["power:nan", "power:-1", "power:x"])
def test_a_bad_exponent_is_refused(policy: str) -> None:
    with pytest.raises(UsageError, match="exponent from 0 to 2"):
        shares([10, 10], policy, 4)


def test_an_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean proportional"):
        shares([10, 10], "propotional", 4)


def test_a_plan_interleaves_all_batches_differently_every_epoch() -> None:
    counts = (2, 3, 7)
    first, again, other = (epoch_plan(counts, "proportional", False, 0, epoch) for epoch in (0, 0, 1))
    assert first == again != other
    assert Counter(first) == {(0,): 2, (1,): 3, (2,): 7}


def test_round_robin_takes_turns_and_sequential_does_not() -> None:
    assert epoch_plan((2, 2), "round-robin", False, 0, 0) == [(0,), (1,), (0,), (1,)]
    assert epoch_plan((2, 2), "sequential", False, 0, 0) == [(0,), (0,), (1,), (1,)]


def test_together_puts_every_domain_into_every_step() -> None:
    assert epoch_plan((2, 4), "proportional", True, 0, 0) == [(0, 1)] * 3


@pytest.mark.parametrize(("images", "batch"), [(10, 4), (3, 8), (1, 2), (64, 64)])
def test_batches_run_through_one_permutation_after_the_other(images: int, batch: int) -> None:
    stream = torch.cat([sample(images, batch, number, 7, "x") for number in range(images * 2)])
    for begin in range(0, len(stream) - images + 1, images):
        assert sorted(stream[begin : begin + images].tolist()) == list(range(images))


def test_orders_differ_between_domains_and_seeds() -> None:
    orders = [sample(50, 50, 0, seed, name).tolist() for seed, name in ((0, "a"), (0, "b"), (1, "a"))]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_a_permutation_is_drawn_once_a_pass_however_many_domains_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Counter[int]()
    real = torch.randperm

    def counted(images: int, **kwargs: Any) -> torch.Tensor:
        drawn[images] += 1
        return real(images, **kwargs)

    monkeypatch.setattr(torch, "randperm", counted)
    for number in range(12):  # batches of 2 out of 8 images: three passes
        for domain in range(100):
            sample(8, 2, number, 11, f"many{domain}")
    assert drawn[8] == 3 * 100


def test_orders_of_passes_that_are_over_are_forgotten() -> None:
    for number in range(40):
        sample(8, 2, number, 12, "long")
    assert len(domain_sampling._turns(8, 12, "long", domain_sampling.CPU)) <= 2
