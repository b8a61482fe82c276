"""Annotation files: labels from category ids, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decathlon.data_prep.challenge.annotations import read_domains
from decathlon.errors import DataError
from tests.helpers.challenge_sources import annotation_file, opened, write_domain, write_source

Change = Callable[[dict[str, Any]], Any]


def test_domains_come_in_order_of_index_with_the_splits_there_are(tmp_path: Path) -> None:
    (apples, boats), warnings = read_domains(opened(write_source(tmp_path)))
    assert (apples.name, apples.index, boats.name, boats.index) == ("apples", 1, "boats", 12)
    assert apples.counts == {"train": 6, "val": 3, "test": 4}
    assert boats.counts == {"train": 3, "test": 2}
    assert warnings == []


def test_a_label_is_the_place_of_the_category_id_not_of_the_name(tmp_path: Path) -> None:
    apples = read_domains(opened(write_source(tmp_path)))[0][0]
    assert [category.name for category in apples.categories] == ["1", "10", "2"]
    assert apples.splits["train"].labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_category_ids_may_have_gaps(tmp_path: Path) -> None:
    spoil(write_source(tmp_path), "train", lambda told: set_category(told, 10000003, 10000900))
    for split in ("val", "test"):
        spoil(tmp_path, split, lambda told: set_category(told, 10000003, 10000900))
    apples = read_domains(opened(tmp_path))[0][0]
    assert apples.splits["train"].labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("annotations", [None, []])
def test_a_stripped_test_split_has_no_labels(tmp_path: Path, annotations: list[Any] | None) -> None:
    write_source(tmp_path)
    if annotations is not None:
        spoil(tmp_path, "test", lambda told: told.update(annotations=annotations))
    apples = read_domains(opened(tmp_path))[0][0]
    assert apples.splits["test"].labels.tolist() == [-1] * 4


def test_the_ground_truth_is_never_read(tmp_path: Path) -> None:
    write_source(tmp_path)
    (tmp_path / "annotations/apples_test.json").write_text("not even JSON")
    assert read_domains(opened(tmp_path))[1] == []


def test_a_test_split_with_only_ground_truth_is_left_out_with_a_warning(tmp_path: Path) -> None:
    write_source(tmp_path)
    annotation_file(tmp_path, "apples", "test").rename(tmp_path / "annotations/apples_test.json")
    domains, warnings = read_domains(opened(tmp_path))
    assert domains[0].counts == {"train": 6, "val": 3}
    assert len(warnings) == 1 and warnings[0].startswith("apples: the test split is left out, since")


def test_a_domain_of_a_test_split_only(tmp_path: Path) -> None:
    write_domain(tmp_path, "apples", 1, {"test": 2})
    assert read_domains(opened(tmp_path))[0][0].counts == {"test": 2}


def set_category(told: dict[str, Any], old: int, new: int) -> None:
    for entry in [*told["categories"], *told.get("annotations", [])]:
        for key in ("id", "category_id"):
            if entry.get(key) == old:
                entry[key] = new


WRONG: dict[str, tuple[Change, str]] = {
    "category of nowhere": (
        lambda told: told["annotations"][0].update(category_id=10000009),
        "has category id 10000009, which is not in 'categories'",
    ),
    "image id twice": (lambda told: told["images"][1].update(id=10200001), "'images' has a duplicate id 10200001"),
    "unknown image": (
        lambda told: told["annotations"][0].update(image_id=10999999),
        "an annotation has image id 10999999, which is not in 'images'",
    ),
    "two labels": (
        lambda told: told["annotations"].append({"image_id": 10200001, "category_id": 10000002}),
        "image id 10200001 has two annotations",
    ),
    "one image without a label": (lambda told: told["annotations"].pop(), "image id 10200001 has no annotation"),
    "no labels": (lambda told: told.pop("annotations"), "Only a test split may go without labels"),
    "no images": (lambda told: told.update(images=[], annotations=[]), "'images' is empty"),
    "float id": (lambda told: told["images"][0].update(id=10200001.0), "[0].id is 10200001.0, not a whole number"),
    "text id": (lambda told: told["images"][0].update(id="1"), "images[0].id is '1', not a whole number"),
    "bool id": (lambda told: told["images"][0].update(id=True), "images[0].id is true, not a whole number"),
    "list id": (lambda told: told["images"][0].update(id=[[]]), "images[0].id is a list, not a whole number"),
    "huge id": (lambda told: told["images"][0].update(id=10**30), "not a whole number"),
    "id of another domain": (lambda told: told["images"][0].update(id=20200001), "id 20200001 belongs to domain 2"),
    "small category ids": (lambda told: set_category(told, 10000001, 1), "category id 1 belongs to no domain"),
    "foreign category": (lambda told: set_category(told, 10000003, 20000003), "id 20000003 belongs to domain"),
    "category twice": (lambda told: told["categories"].append(told["categories"][0]), "has a duplicate id 1000"),
    "no categories": (lambda told: told.update(categories=[]), "'categories' is empty"),
    "categories missing": (lambda told: told.pop("categories"), "categories is missing"),
    "images no list": (lambda told: told.update(images={}), "images is an object, not a list"),
    "image no object": (lambda told: told["images"].append(3), "images[6] is 3, not an object"),
    "no file name": (lambda told: told["images"][0].pop("file_name"), "images[0].file_name is missing"),
    "parent folder": (lambda told: told["images"][0].update(file_name="../a.png"), "'../a.png', not a relative"),
    "absolute": (lambda told: told["images"][0].update(file_name="/a.png"), "file_name is '/a.png', not"),
    "NUL": (lambda told: told["images"][0].update(file_name="a\0.png"), "and printable characters"),
    "half a character": (lambda told: told["images"][0].update(file_name="\ud800"), "text that is not Unicode"),
}  # fmt: skip


def spoil(root: Path, split: str, change: Change) -> None:
    path = annotation_file(root, "apples", split)
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_the_file(tmp_path: Path, case: str) -> None:
    change, message = WRONG[case]
    spoil(write_source(tmp_path), "train", change)
    with pytest.raises(DataError) as refusal:
        read_domains(opened(tmp_path))
    assert str(refusal.value).startswith("annotations/apples_train.json")
    assert message in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[]", '{"images": NaN}', '{"id": 1, "id": 2}', "[" * 100_000, "\xff"])
def test_a_file_that_is_not_the_json_expected_is_refused(tmp_path: Path, text: str) -> None:
    annotation_file(write_source(tmp_path), "apples", "train").write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=r"annotations/apples_train\.json"):
        read_domains(opened(tmp_path))


def test_splits_must_agree_on_categories(tmp_path: Path) -> None:
    spoil(write_source(tmp_path), "val", lambda told: told["categories"][0].update(name="other"))
    with pytest.raises(
        DataError, match=r"apples_val\.json: its categories differ from those of .*apples_train\.json"
    ):
        read_domains(opened(tmp_path))


def test_a_split_without_a_class_of_train_is_refused(tmp_path: Path) -> None:
    path = annotation_file(write_source(tmp_path), "apples", "val")
    spoilt = json.loads(path.read_text())
    for name, only in (("train", 1), ("val", 2)):
        file = annotation_file(tmp_path, "apples", name)
        told = json.loads(file.read_text())
        for annotation in told["annotations"]:
            annotation["category_id"] = 10**7 + only
        file.write_text(json.dumps(told))
    with pytest.raises(DataError) as refusal:
        read_domains(opened(tmp_path))
    assert str(refusal.value) == (
        "apples: val shares no class with train (val has 10, train has 1). "
        "Sort its images into the classes of train."
    )
    path.write_text(json.dumps(spoilt))  # it has the one class of train, and others
    assert len(read_domains(opened(tmp_path))[0]) == 2


def test_an_image_id_stands_in_one_split_only(tmp_path: Path) -> None:
    spoil(write_source(tmp_path), "test", lambda told: told["images"][0].update(id=10200001))
    with pytest.raises(DataError, match="apples: its splits have a duplicate image id 10200001"):
        read_domains(opened(tmp_path))


def test_two_domains_cannot_have_the_same_ids(tmp_path: Path) -> None:
    write_domain(write_source(tmp_path), "cars", 1)
    with pytest.raises(DataError, match="apples and cars both have ids of domain 1"):
        read_domains(opened(tmp_path))


def test_a_domain_cannot_take_the_name_of_the_facts(tmp_path: Path) -> None:
    write_domain(tmp_path, "benchmark", 1)
    with pytest.raises(DataError, match="cannot be named 'benchmark'"):
        read_domains(opened(tmp_path))


@pytest.mark.parametrize(("name", "said"), [("a" * 181, "181 bytes, the limit is 180"), ("trunk", "not a valid")])
def test_a_name_that_no_domain_may_have_is_refused_before_an_image_is_read(
    tmp_path: Path, name: str, said: str
) -> None:
    write_domain(tmp_path, name, 1)
    with pytest.raises(DataError, match=said):
        read_domains(opened(tmp_path))


def test_a_source_without_annotations_says_what_belongs_there(tmp_path: Path) -> None:
    write_source(tmp_path)
    shutil.rmtree(tmp_path / "annotations")
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DataError, match="has no annotations of a domain. It must contain annotations/<domain>_"):
        read_domains(opened(tmp_path))
