"""Ground truth read from folders, zips and files, or refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from decathlon.data import ground_truth
from decathlon.data.ground_truth import read_truth
from decathlon.errors import DataError, UsageError
from tests.helpers.packs import COUNTS, TINY


def document(index: int, images: int = 3, classes: int = 2) -> dict[str, Any]:
    base = index * 10**7
    return {
        "images": [{"id": base + 200001 + i} for i in range(images)],
        "annotations": [
            {"image_id": base + 200001 + i, "category_id": base + 1 + i % classes} for i in range(images)
        ],
        "categories": [{"id": base + 1 + k, "name": str(k)} for k in range(classes)],
    }


def put(folder: Path, name: str, data: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}_test.json"
    file.write_text(json.dumps(data))
    return file


def test_a_folder_is_read_in_order_of_the_index(tmp_path: Path) -> None:
    put(tmp_path, "zebra", document(2))
    put(tmp_path, "ant", document(10))
    put(tmp_path, "ant", document(10))
    (tmp_path / "zebra_test_stripped.json").write_text("not read")
    (tmp_path / "._zebra_test.json").write_text("not read")
    assert [(domain.name, domain.index) for domain in read_truth(tmp_path).domains] == [("zebra", 2), ("ant", 10)]


def test_a_folder_may_hold_the_files_in_annotations(tmp_path: Path) -> None:
    put(tmp_path / "annotations", "ant", document(1))
    (domain,) = read_truth(tmp_path).domains
    assert domain.answers == {10200001: 10000001, 10200002: 10000002, 10200003: 10000001}
    assert domain.categories == {10000001, 10000002}


def test_one_file_is_a_truth_of_one_domain(tmp_path: Path) -> None:
    (domain,) = read_truth(put(tmp_path, "vgg-flowers", document(10))).domains
    assert domain.name == "vgg-flowers"


def test_a_zip_is_read_by_base_name_without_extraction(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../deep/ant_test.json", json.dumps(document(1)))
        file.writestr("__MACOSX/._ant_test.json", "junk")
        file.writestr("readme.txt", "ignored")
    assert [domain.name for domain in read_truth(archive).domains] == ["ant"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["labels.zip"]


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ant_test.json", json.dumps(document(1, images=500)))
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:60] + bytes([whole[60] ^ 1]) + whole[61:], b"nothing"):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match="labels.zip"):
            read_truth(archive)


@pytest.mark.parametrize("members", [1, 3])
def test_files_that_are_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    monkeypatch.setattr(ground_truth, "LARGEST", 2000)
    with zipfile.ZipFile(tmp_path / "labels.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in "abc"[:members]:
            text = b" " * (2001 // members)
            file.writestr(f"{name}_test.json", text)
            (tmp_path / f"{name}_test.json").write_bytes(text)
    for path in (tmp_path, tmp_path / "labels.zip"):
        with pytest.raises(
            DataError, match=f"the ground truth in {path} has 2,001 bytes, the limit is 2,000. Check"
        ):
            read_truth(path)


def test_entries_under_other_keys_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground_truth, "MOST_ENTRIES", 40)
    for index, name in enumerate("abc", 1):
        (tmp_path / f"{name}_test.json").write_text(json.dumps({**document(index), "foo": [0] * 10}))
    with pytest.raises(DataError, match="c_test.json exceeds the limit of 40 entries"):
        read_truth(tmp_path)
    (tmp_path / "a_test_stripped.json").write_text(json.dumps({"images": [], "foo": [0] * 41}))
    with pytest.raises(DataError, match="a_test_stripped.json exceeds the limit of 40 entries"):
        ground_truth.check_stripped(tmp_path / "a_test_stripped.json")


def test_a_packed_file_has_as_few_answers(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(TINY.names) * COUNTS["val"]
    monkeypatch.setattr(ground_truth, "MOST_ENTRIES", 2 * count)
    assert sum(len(domain.answers) for domain in read_truth(tiny, "val").domains) == count
    monkeypatch.setattr(ground_truth, "MOST_ENTRIES", 2 * count - 1)
    with pytest.raises(
        DataError, match=f"tiny.h5 has more than {count - 1} val images, the limit of what is scored"
    ):
        read_truth(tiny, "val")


def test_a_zip_with_a_domain_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/ant_test.json", json.dumps(document(1)))
        file.writestr("b/ant_test.json", json.dumps(document(1)))
    with pytest.raises(DataError, match="twice"):
        read_truth(archive)


def broken(**changes: object) -> dict[str, Any]:
    return {**document(1), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the whole is a list, not an object"),
        (broken(annotations=[]), "stripped"),
        (broken(annotations=document(1)["annotations"][:2]), "image 10200003 has no annotation"),
        (broken(annotations=document(1)["annotations"] * 2), "has two annotations of image 10200001"),
        (broken(images=document(1)["images"][:2]), "image 10200003 is not in `images`"),
        (broken(images=document(1)["images"] * 2), "has duplicate ids in `images`"),
        (broken(categories=[{"id": 10000001}]), "in category 10000002, which is not in `categories`"),
        (broken(categories=[{"id": True}]), "id is true, not a whole number"),
        (broken(categories=[{"id": 1.0}]), "id is 1.0, not a whole number"),
        (broken(images=["x"]), r"images\[0\] is 'x', not an object"),
        (broken(images={}), "images is an object, not a list"),
        (broken(categories=[]), "categories is empty"),
    ],
)
def test_a_truth_that_contradicts_itself_is_refused(tmp_path: Path, data: object, message: str) -> None:
    file = put(tmp_path, "ant", data)
    with pytest.raises(DataError, match=message) as caught:
        read_truth(tmp_path)
    assert str(file) in str(caught.value)


def test_domains_that_share_ids_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "ant", document(1))
    put(tmp_path, "bee", document(1))
    with pytest.raises(DataError, match="has the image id 10200001 in both ant and bee"):
        read_truth(tmp_path)


def test_a_place_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no <domain>_test.json"):
        read_truth(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "absent.zip")
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "ant_test.json")


def test_the_truth_of_the_validation_split_has_its_own_files(tmp_path: Path) -> None:
    put(tmp_path, "ant", document(1)).rename(tmp_path / "ant_val.json")
    put(tmp_path, "ant", document(1, images=5))
    put(tmp_path, "bee", document(2))
    archive = tmp_path / "both.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in tmp_path.glob("*.json"):
            file.write(path, path.name)
    for source in (tmp_path, archive):
        assert [len(domain.answers) for domain in read_truth(source).domains] == [5, 3]
        found = read_truth(source, "val")
        assert ([len(domain.answers) for domain in found.domains], found.split) == ([3], "val")
    assert read_truth(tmp_path / "ant_val.json") == read_truth(tmp_path / "ant_val.json", "val")
    with pytest.raises(
        UsageError, match="ant_val.json holds the val split, but test images are scored. Name <domain>_test"
    ):
        read_truth(tmp_path / "ant_val.json", "test")
    (tmp_path / "ant_val.json").unlink()
    with pytest.raises(DataError, match="holds no <domain>_val.json"):
        read_truth(tmp_path, "val")


def test_a_packed_file_is_the_truth_of_its_validation_split(tiny: Path, tmp_path: Path) -> None:
    found = read_truth(tiny, "val")
    assert [domain.name for domain in found.domains] == list(TINY.names) and found.split == "val"
    for domain, facts in zip(found.domains, TINY, strict=True):
        ids = facts.category_ids
        first = facts.index * 10**7 + 1 + COUNTS["train"]
        assert domain.answers == {first + i: ids[i % len(ids)] for i in range(COUNTS["val"])}
        assert domain.categories == set(ids)
    with pytest.raises(
        DataError, match="tiny.h5 holds no labels of the test images of apples, boats, towers. Name the"
    ):
        read_truth(tiny)
    (tmp_path / "tiny-truth").mkdir()
    copy = Path(shutil.copy(tiny, tmp_path / "tiny.h5"))
    with pytest.raises(DataError, match=f"Name {tmp_path / 'tiny-truth'}"):
        read_truth(copy)
    copy.write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(DataError, match="tiny.h5"):
        read_truth(copy, "val")
