"""The split of own data: exact parts of every class, groups whole, the same for any order, drawn by a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import floor

import pytest

from decathlon.data_prep.custom.add_request import read_parts
from decathlon.data_prep.custom.stratified_split import assign
from decathlon.errors import UsageError

PARTS = read_parts("60/15/25")
ORDER = ("train", "test", "val")


def counts(labels: Sequence[int], split: Sequence[str]) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {}
    for label, name in zip(labels, split, strict=True):
        found.setdefault(label, Counter())[name] += 1
    return found


def ungrouped(labels: Sequence[int], parts: str = "60/15/25", seed: int = 0) -> list[str]:
    return assign(labels, [f"{i:05d}" for i in range(len(labels))], read_parts(parts), seed)


def largest_remainders(number: int, parts: dict[str, int]) -> dict[str, int]:
    """The textbook's way: whole parts first, then one more to the largest fractions; then none may be empty."""
    due = {name: number * percent / 100 for name, percent in parts.items()}
    found = {name: floor(value + 1e-9) for name, value in due.items()}
    for name in sorted(parts, key=lambda name: (-(round(due[name] - found[name], 9)), ORDER.index(name))):
        found[name] += sum(found.values()) < number
    for name in [name for name in ORDER if name in parts][:number]:
        if not found[name]:
            donors = [other for other in parts if found[other] > 1 or ORDER.index(other) > ORDER.index(name)]
            donor = max((d for d in donors if found[d]), key=lambda d: found[d] - due[d])
            found[donor] -= 1
            found[name] = 1
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize(
    "text", ["60/15/25", "80/20", "34/33/33", "1/1/98", "98/1/1", "40/35/25", "50/0/50", "100/0"]
)
def test_every_class_is_split_in_exact_parts(text: str) -> None:
    labels = [label for label in range(1, 41) for _ in range(label)]  # class k has k images
    parts = dict(read_parts(text))
    for label, found in counts(labels, ungrouped(labels, text)).items():
        assert dict(found) == largest_remainders(label, parts), (text, label)


def test_small_classes_are_in_train_then_test_then_val() -> None:
    labels = [0, 1, 1, 2, 2, 2]
    found = counts(labels, ungrouped(labels))
    assert [set(found[label]) for label in range(3)] == [{"train"}, {"train", "test"}, {"train", "val", "test"}]
    assert counts(labels, ungrouped(labels, "1/1/98")) == found  # even where train is the smallest part


def test_the_order_of_files_does_not_matter_and_the_seed_does() -> None:
    names = [f"{label}/{i}" for label in range(5) for i in range(20)]
    labels = [int(name.split("/")[0]) for name in names]
    first = dict(zip(names, assign(labels, names, PARTS, 0), strict=True))
    shuffled = random.Random(1).sample(names, len(names))
    again = assign([int(name.split("/")[0]) for name in shuffled], shuffled, PARTS, 0)
    assert dict(zip(shuffled, again, strict=True)) == first
    other = dict(zip(names, assign(labels, names, PARTS, 1), strict=True))
    assert other != first and Counter(other.values()) == Counter(first.values())


def test_classes_are_drawn_apart() -> None:
    labels = [label for label in range(20) for _ in range(4)]
    split = ungrouped(labels)
    assert len({tuple(split[4 * label : 4 * label + 4]) for label in range(20)}) > 3


def test_groups_are_whole_and_parts_nearly_kept() -> None:
    dice = random.Random(0)
    labels, groups = [], []
    for group in range(200):  # of 1 to 9 images of up to three of five classes
        size, own = dice.randint(1, 9), dice.sample(range(5), dice.randint(1, 3))
        labels += [dice.choice(own) for _ in range(size)]
        groups += [f"g{group}"] * size
    split = assign(labels, groups, PARTS, 0)
    assert all(len({s for s, g in zip(split, groups, strict=True) if g == group}) == 1 for group in set(groups))
    for label, found in counts(labels, split).items():
        total = labels.count(label)
        for name, percent in PARTS.items():
            assert abs(found[name] - total * percent / 100) <= 4, (label, found)
    # a control: groups dealt out blindly are not that near
    blind = [dice.choices(list(PARTS), list(PARTS.values()))[0] for _ in range(200)]
    dealt = counts(labels, [blind[int(group[1:])] for group in groups])
    assert max(abs(dealt[k][s] - labels.count(k) * p / 100) for k in dealt for s, p in PARTS.items()) > 4


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ("aaaa", {"train"}),
        ("aaab", {"train", "test"}),
        ("aabc", {"train", "test", "val"}),
        ("abcc", {"train", "test", "val"}),
    ],
)
def test_a_class_of_few_groups(groups: str, wanted: set[str]) -> None:
    for text in ("60/15/25", "10/20/70"):
        assert set(assign([0] * 4, list(groups), read_parts(text), 0)) == wanted


def test_a_group_of_two_classes_keeps_both_in_train() -> None:
    split = assign([0, 1, 0, 1, 0, 1], ["both", "both", "a", "b", "c", "d"], read_parts("10/20/70"), 0)
    found = counts([0, 1, 0, 1, 0, 1], split)
    assert split[0] == split[1] and found[0]["train"] and found[1]["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60/15/26", "--split 60/15/26 adds up to 101 percent. It must be 100"),
        ("0/50/50", "has no train images"),
        ("100", "Write whole percent as train/val/test, like 60/15/25, or train/val"),
        ("60/15/20/5", "Write whole percent"),
        ("59.5/40.5", "Write whole percent"),
        ("-10/110", "Write whole percent"),
        ("٦٠/40", "Write whole percent"),
        ("", "Write whole percent"),
    ],
)
def test_wrong_parts_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_parts(text)
    assert message in str(refusal.value)


def test_two_parts_are_train_and_val() -> None:
    assert read_parts("80/20") == {"train": 80, "val": 20}
    assert read_parts("75/0/25") == {"train": 75, "test": 25}
