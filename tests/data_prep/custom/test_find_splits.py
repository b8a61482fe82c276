"""Splits of folder trees as people have them: they are kept, or refused, and never become classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from decathlon.data_prep.custom.add import read_collection
from decathlon.data_prep.custom.collection import Collection
from decathlon.errors import DataError
from tests.helpers.custom_sources import write_tree


def tree(root: Path, *folders: str) -> Path:
    """Write two images into every folder; one that ends in a slash stays empty."""
    write_tree(root, [f"{folder}/{i}.png" for folder in folders if not folder.endswith("/") for i in (1, 2)])
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


def found(collection: Collection) -> dict[str, int]:
    """Return the number of images of every split and class, as `train/cat`; `test/` for those without a class."""
    labels, splits = collection.labels.tolist(), collection.splits
    assert splits is not None
    names = [*collection.classes, ""]
    return dict(Counter(f"{split}/{names[label]}" for split, label in zip(splits, labels, strict=True)))


BOTH = {"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/dog": 2}
INNER = ("cat", "dog")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "TEST"),
        ("training", "testing"),
        ("seg_train", "seg_test"),
        ("train_images", "test_images"),
        ("TrainSet", "TestSet"),
        ("Train Data", "Test Data"),
        ("train2017", "test2017"),
        ("train", "test1"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("my train pictures", "the test scans"),
    ],
)
def test_splits_are_known_by_the_names_people_give_them(tmp_path: Path, train: str, test: str) -> None:
    root = tree(tmp_path, *(f"{split}/{name}" for split in (train, test) for name in INNER))
    assert found(read_collection(root)) == BOTH


def test_a_folder_beside_the_splits_is_left_out_and_named(tmp_path: Path) -> None:
    splits = [f"{split}/{name}" for split in ("train", "valid", "test") for name in INNER]
    root = tree(tmp_path, *splits, "to predict", "papers/", "Meta")
    write_tree(root, ["preview.png"])
    collection = read_collection(root)
    assert found(collection) == {**BOTH, "val/cat": 2, "val/dog": 2}
    assert collection.notes == (
        "Warning: left out 5 images beside the splits: Meta, preview.png, to predict",
        "left out folders beside the splits: papers",
    )


@pytest.mark.parametrize("above", ["archive", "chest/chest"])
def test_splits_are_found_in_a_single_folder(tmp_path: Path, above: str) -> None:
    root = tree(tmp_path, *(f"{above}/{split}/{name}" for split in ("train", "test") for name in INNER), "notes/")
    collection = read_collection(root)
    assert found(collection) == BOTH
    assert f"class folders are read from {above}/test/, {above}/train/" in collection.notes


def test_class_folders_may_lie_one_level_deeper_in_the_splits(tmp_path: Path) -> None:
    inner = [f"{split}/{split}/{name}" for split in ("seg_train", "seg_test") for name in INNER]
    collection = read_collection(tree(tmp_path, *inner, "seg_pred/seg_pred"))
    assert found(collection) == BOTH
    assert collection.notes == (
        "class folders are read from seg_test/seg_test/, seg_train/seg_train/",
        "Warning: left out 2 images beside the splits: seg_pred",
    )
    images = tree(tmp_path / "b", *(f"{split}/images/{name}" for split in ("train", "test") for name in INNER))
    assert found(read_collection(images)) == BOTH
    bare = tree(tmp_path / "c", *(f"train/train/{name}" for name in INNER), "test/test")
    assert found(read_collection(bare)) == {"train/cat": 2, "train/dog": 2, "test/": 2}


def test_two_folders_of_one_split_are_read_as_one_and_named(tmp_path: Path) -> None:
    collection = read_collection(tree(tmp_path, "train/cat", "Train/dog", "test/cat"))
    assert found(collection) == {"train/cat": 2, "train/dog": 2, "test/cat": 2}
    assert "Train and train are read as one split, train" in collection.notes


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train/cat", "train/dog", "backup/cat"], "train beside backup may be splits or classes. Keep one folder"),
        (["test", "cat", "dog"], "test beside cat, dog may be splits or classes"),
        (
            ["train_images/a", "train_masks/a", "test_images/a", "test_masks/a"],
            "test_images, test_masks, train_ima",
        ),
        (["train", "test1"], "has splits without class folders"),
        (["train", "test_images"], "has splits without class folders"),
        (["train_images", "test_images"], "has splits without class folders"),
        (
            ["cat/train", "cat/test", "dog/train", "dog/test"],
            "has splits inside of cat, dog. Put the class folders",
        ),
        (["set/train/cat", "set/test/cat", "more/cat"], "has splits inside of set. Put"),
    ],
)
def test_what_may_be_splits_or_classes_is_refused(tmp_path: Path, folders: list[str], message: str) -> None:
    with pytest.raises(DataError) as refusal:
        read_collection(tree(tmp_path, *folders))
    assert message in str(refusal.value)


def test_classes_that_sound_like_splits_stay_classes(tmp_path: Path) -> None:
    collection = read_collection(tree(tmp_path / "a", "bullet_train", "crash_test", "bus"))
    assert (collection.classes, collection.notes) == (("bullet_train", "bus", "crash_test"), ())
    collection = read_collection(tree(tmp_path / "b", "train", "bus", "tram"))
    assert (collection.classes, collection.splits) == (("bus", "train", "tram"), None)
    assert collection.notes == ("Warning: train is taken for a class, not for a split",)


def test_test_images_without_class_folders_have_no_class(tmp_path: Path) -> None:
    collection = read_collection(tree(tmp_path, "train/cat", "train/dog", "test"))
    assert found(collection) == {"train/cat": 2, "train/dog": 2, "test/": 2}
    assert collection.notes == ("2 test images without a class: they can be predicted, not scored",)


def test_classes_that_hold_the_same_folders_are_a_warning(tmp_path: Path) -> None:
    """Folds of a data set would become its classes without a word."""
    inner = [f"fold{i}/{name}" for i in (1, 2) for name in INNER]
    notes = read_collection(tree(tmp_path / "set", *inner)).notes
    assert any("the classes are fold1, fold2, and each holds the folders cat, dog" in note for note in notes)
    assert not read_collection(tree(tmp_path / "plain", "cat", "dog")).notes
