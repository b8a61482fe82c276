"""Splits as the challenge's, as far as they are known: numbers, classes, groups, ids; the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from decathlon.data.official import OFFICIAL
from decathlon.data_prep.originals.build import plan
from decathlon.data_prep.originals.original import Examples, Original, draw, shares
from decathlon.data_prep.packing.plan import hide_test_labels, truth_document
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

OWN_SPLITS = ("aircraft", "dtd", "vgg-flowers")


def examples(labels: npt.ArrayLike, begin: int = 0) -> Examples:
    return Examples("stand-in", np.asarray(labels, np.int32), lambda i: Picture(str(begin + i)))


def called(part: Examples) -> list[int]:
    return [int(part.picture(i).name) for i in range(len(part))]


def complete(name: str) -> Original:
    """Return a data set of as many images as the official domain's, its classes in turn."""
    official = OFFICIAL[name]
    parts = {split: examples(np.arange(official.count(split)) % official.classes) for split in ("val", "test")}
    missing = () if name in OWN_SPLITS else ("val", "test") if name == "omniglot" else ("val",)
    number = official.train + sum(len(parts.pop(split)) for split in missing)
    names = tuple(sorted(str(i) for i in range(official.classes)))
    return Original(names, examples(np.arange(number) % official.classes), parts.get("val"), parts.get("test"))


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_complete_original_gets_the_official_numbers(name: str) -> None:
    domain, lines = plan(name, complete(name))
    official = OFFICIAL[name]
    assert domain.counts == {"train": official.train, "val": official.val, "test": official.test}
    assert (domain.index, len(domain.categories)) == (official.index, official.classes)
    assert not any("Warning" in line for line in lines)
    assert any("drawn" in line for line in lines) == (name not in OWN_SPLITS)


def test_omniglot_has_eleven_four_and_five_drawings_of_each_character() -> None:
    domain, _ = plan("omniglot", complete("omniglot"))
    for split, number in (("train", 11), ("val", 4), ("test", 5)):
        assert set(np.bincount(domain.splits[split].labels).tolist()) == {number}


def test_splits_are_disjoint_keep_their_order_and_come_out_the_same_every_time() -> None:
    original = Original(("0", "1"), examples(np.arange(200) % 2), test=examples([0, 1], 1000))
    domain, _ = plan("cifar100", original)
    parts = {
        split: [int(planned.picture(i).name) for i in range(len(planned))]
        for split, planned in domain.splits.items()
    }
    assert sorted(parts["train"] + parts["val"]) == list(range(200)) and parts["test"] == [1000, 1001]
    assert parts["train"] == sorted(parts["train"]) and parts["val"] == sorted(parts["val"])
    assert parts["val"][:6] == [5, 14, 20, 25, 26, 27]  # another split would make old numbers incomparable
    for split, planned in domain.splits.items():
        own = [number % 2 for number in parts[split]]
        assert planned.labels.tolist() == own


def test_ids_are_of_the_domain_and_none_is_an_official_one() -> None:
    domain, _ = plan("gtsrb", Original(("a", "b"), examples([0, 1] * 30), test=examples([1, 0, 1])))
    ids = np.concatenate([planned.image_ids for planned in domain.splits.values()])
    assert [category.id for category in domain.categories] == [50_000_001, 50_000_002]
    assert ids.tolist() == list(range(55_000_001, 55_000_064))
    last = {o.index * 10**7 + 200_000 + o.train + o.val + o.test for o in OFFICIAL.values()}
    assert all(value % 10**7 < 5_000_000 for value in last)


def test_the_packed_test_split_has_no_labels_and_the_answers_have_them() -> None:
    domain, _ = plan("gtsrb", Original(("a", "b"), examples([0, 1] * 30), test=examples([1, 0, 1])))
    packed = hide_test_labels(domain)
    assert packed.splits["test"].labels.tolist() == [-1] * 3
    assert packed.splits["train"] is domain.splits["train"]
    told = truth_document(domain)
    assert [a["category_id"] for a in told["annotations"]] == [50_000_002, 50_000_001, 50_000_002]
    assert [a["image_id"] for a in told["annotations"]] == [i["id"] for i in told["images"]]
    assert [c["name"] for c in told["categories"]] == ["a", "b"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_original_without_images_is_refused(split: str) -> None:
    parts = {"train": examples([0, 1] * 30), "test": examples([0])} | {split: examples([])}
    with pytest.raises(DataError, match=f"too few images for a {split} split"):
        plan("gtsrb", Original(("a", "b"), parts["train"], test=parts["test"]))


def test_shares_are_in_proportion_and_sum_up() -> None:
    labels = np.repeat(np.arange(4, dtype=np.int32), [10, 20, 1, 0])
    assert shares(labels, 4, 10).tolist() == [3, 7, 0, 0]  # 3.23, 6.45, 0.32: the largest remainder gets the last
    assert shares(labels, 4, 31).tolist() == [10, 20, 1, 0] and shares(labels, 4, 0).tolist() == [0] * 4


def test_drawing_takes_whole_groups_and_cuts_one_a_class() -> None:
    labels = np.repeat([0, 1], 60)
    pool = examples(labels).grouped((np.arange(120) // 10).tolist())
    rest, drawn = draw(pool, np.array([25, 20]), 7)
    sizes = np.bincount(np.array(called(drawn)) // 10, minlength=12)
    assert sorted(sizes[:6].tolist()) == [0, 0, 0, 5, 10, 10] and sorted(sizes[6:].tolist()) == [0, 0, 0, 0, 10, 10]
    assert sorted(called(rest) + called(drawn)) == list(range(120))
    _, other = draw(pool, np.array([25, 20]), 8)
    assert called(other) != called(drawn)


def test_drawing_without_groups_does_not_take_neighbours() -> None:
    _, drawn = draw(examples(np.zeros(1000)), np.array([500]), 1)
    steps = np.diff(called(drawn))
    assert len(drawn) == 500 and 0.4 < (steps == 1).mean() < 0.6


def annotate(root: Path, name: str, labels: dict[str, list[int]], classes: int = 2, first: str = "a") -> Path:
    """Write official annotations: `labels` by the end of the file's name."""
    index = OFFICIAL[name].index
    categories = [{"id": index * 10**7 + 1 + k, "name": first if k == 0 else chr(97 + k)} for k in range(classes)]
    number = index * 10**7 + 200_001
    (root / "annotations").mkdir()
    for kind, own in labels.items():
        images = [{"id": number + i, "file_name": f"data/{name}/{i}.jpg"} for i in range(len(own))]
        told = [
            {"image_id": image["id"], "category_id": index * 10**7 + 1 + label}
            for image, label in zip(images, own, strict=True)
        ]
        document = {"images": images, "categories": categories} | (
            {} if "stripped" in kind else {"annotations": told}
        )
        (root / f"annotations/{name}_{kind}.json").write_text(json.dumps(document))
        number += len(own)
    return root


ORIGINAL = Original(("a", "b"), examples([0, 1] * 10), test=examples([1, 0, 1]))


def test_official_annotations_say_how_many_of_each_class(tmp_path: Path) -> None:
    labels = {"train": [0] * 9 + [1] * 4, "val": [0] + [1] * 6, "test_stripped": [0, 0, 0]}
    domain, lines = plan("gtsrb", ORIGINAL, annotate(tmp_path, "gtsrb", labels))
    assert np.bincount(domain.splits["val"].labels).tolist() == [1, 6]
    assert np.bincount(domain.splits["train"].labels).tolist() == [9, 4]
    assert any("official number per class" in line for line in lines)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train": [0] * 9 + [1] * 5, "val": [0] + [1] * 6}, "has 5 train images of b, the original has 4"),
        ({"train": [0] * 9 + [1] * 4, "val": [0] + [1] * 60}, "has 61 val images, the original only 20"),
        ({"train": [0] * 9 + [1] * 4}, "no annotations of the val images"),
        ({"val": [0]}, "no annotations/gtsrb_train.json"),
        ({"train": [0] * 10, "val": [1] * 10, "test": [0, 1, 0]}, "has 2 test images of a, the original has 1"),
        ({"train": [0] * 10, "val": [1] * 10, "test_stripped": [0] * 4}, "4 test images, the original has 3"),
    ],
)
def test_annotations_that_contradict_the_original_are_refused(
    labels: dict[str, list[int]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        plan("gtsrb", ORIGINAL, annotate(tmp_path, "gtsrb", labels))


@pytest.mark.parametrize(
    ("classes", "first", "message"), [(2, "x", "50000001 is 'x'"), (3, "a", r"\(there are 3\)")]
)
def test_annotations_of_other_categories_are_refused(
    classes: int, first: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        plan("gtsrb", ORIGINAL, annotate(tmp_path, "gtsrb", {"train": [0, 1], "val": [0]}, classes, first))
