"""Data sets of one's own, in every form: what is packed is what was there, and what is wrong is named."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decathlon.data_prep.custom.add import Added, add, read_collection
from decathlon.data_prep.custom.add_request import AddRequest
from decathlon.data_prep.custom.collection import Collection
from decathlon.errors import DataError, UsageError
from tests.helpers.custom_sources import (
    FakeClassLabel,
    FakeImage,
    fake_data,
    key,
    numbered,
    packed,
    pixels,
    save_fake,
    write_coco,
    write_table,
    write_tree,
)

CLASSES = {"wasps": 8, "ants": 4, "bees 2": 4}
GIVEN = ["train/a/1.png", "train/b/2.png", "train/b/3.png", "val/a/4.png", "test/b/5.png", "test/a/6.png"]


def classes(collection: Collection) -> dict[str, str]:
    labels = collection.labels.tolist()
    return {name: collection.classes[label] for name, label in zip(collection.names, labels, strict=True)}


def added(output: Path, source: Path) -> Added:
    return add(output, AddRequest("mine", source))


def test_a_tree_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    written = write_tree(tmp_path / "set", numbered(CLASSES))
    done = added(tmp_path / "own.h5", tmp_path / "set")
    assert done.truth == tmp_path / "own-truth" / "mine_test.json"
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    assert {image: label for (_, image), label in found.items()} == {
        key(image): name.split("/")[0] for name, image in written.items()
    }
    assert [split for split, _ in found].count("test") == 2 + 1 + 1


def test_splits_of_a_tree_are_kept(tmp_path: Path) -> None:
    written = write_tree(tmp_path / "set", [name.replace("val/", "Valid/") for name in GIVEN])
    done = added(tmp_path / "own.h5", tmp_path / "set")
    assert done.truth is not None
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    wanted = {}
    for name, image in written.items():
        split, label, _ = name.split("/")
        wanted[split.replace("Valid", "val"), key(image)] = label
    assert found == wanted


def test_classes_are_folders_and_images_may_lie_deeper(tmp_path: Path) -> None:
    write_tree(tmp_path, ["a/1.JPG", "a/deep/er/2.jpeg", "b/3.ppm", "b/4.pgm"])
    (tmp_path / "a" / "notes.txt").write_text("no image")
    write_tree(tmp_path, ["stray.png", ".cache/x.png", "__MACOSX/y.png", "a/.hidden.png"])
    (tmp_path / "c").mkdir()
    found = read_collection(tmp_path)
    assert classes(found) == {"a/1.JPG": "a", "a/deep/er/2.jpeg": "a", "b/3.ppm": "b", "b/4.pgm": "b"}
    assert found.notes == (
        "left out 1 file of other kinds: .txt",
        "left out 1 image beside the class folders: stray.png",
        "Warning: left out 1 class without images: c",
    )


def test_classes_are_in_the_order_of_strings(tmp_path: Path) -> None:
    write_tree(tmp_path, [f"{i}/x.png" for i in range(1, 12)])
    found = read_collection(tmp_path)
    assert found.classes == ("1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9")
    assert "sorted by name as text, like the official ones: 1, 10, 11, …" in found.notes[0]
    write_tree(tmp_path / "few", ["1/x.png", "2/x.png"])
    assert read_collection(tmp_path / "few").notes == ()


def test_links_are_followed_and_never_in_a_circle(tmp_path: Path) -> None:
    write_tree(tmp_path / "other", ["far/1.png"])
    write_tree(tmp_path / "set", ["a/2.png", "b/3.png"])
    os.symlink(tmp_path / "other" / "far", tmp_path / "set" / "a" / "link")
    os.symlink(tmp_path / "set", tmp_path / "set" / "b" / "up")
    assert set(classes(read_collection(tmp_path / "set"))) == {"a/2.png", "a/link/1.png", "b/3.png"}


def test_a_folder_of_one_class_asks_whether_its_folders_are_the_classes(tmp_path: Path) -> None:
    write_tree(tmp_path, ["flowers/rose/1.png", "flowers/tulip/2.png"])
    (tmp_path / "labels.csv").write_text("path,label\n")
    warning, *notes = (note for note in read_collection(tmp_path).notes if not note.startswith("left out"))
    assert warning == "Warning: there is only one class, flowers"
    assert notes == [
        f"if the folders in it are the classes (rose, tulip), pass {tmp_path / 'flowers'} instead",
        f"if labels.csv lists the classes, pass {tmp_path / 'labels.csv'} instead",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "has no images. Pass a folder of class folders"),
        (["1.png", "2.png"], "has 2 images and no class folders. Put each class into a folder"),
        (["train/1.png", "test/2.png"], "has splits without class folders. Put the images into <split>/<class>/"),
        (["train/a/1.png", "val/2.png"], "val/2.png is in a split but in no class folder"),
        (["train/a/1.png", "test/a/2.png", "test/3.png"], "test/3.png is in a split but in no class folder"),
        (["a\nb/1.png"], "has unprintable characters. Rename it"),
        ([b"caf\xe9/1.png"], "has unprintable characters. Rename it"),
    ],
)
def test_a_wrong_tree_is_refused(tmp_path: Path, names: list[str | bytes], message: str) -> None:
    write_tree(tmp_path, [os.fsdecode(name) for name in names])
    with pytest.raises(DataError) as refusal:
        read_collection(tmp_path)
    assert message in str(refusal.value)


def table(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """Return a table of ten images in two classes, with a quoted comma, a mark before the text and odd spaces."""
    written = write_tree(tmp_path, [f"images/{i}, small.png" for i in range(10)])
    path = write_table(tmp_path / "set.csv", [(f"./{name}", f" {'ab'[i % 2]}") for i, name in enumerate(written)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    return path, {name: key(image) for name, image in written.items()}


def test_a_table_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    path, written = table(tmp_path)
    done = added(tmp_path / "own.h5", path)
    assert done.truth is not None
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    assert {image: label for (_, image), label in found.items()} == {
        image: "ab"[i % 2] for i, image in enumerate(written.values())
    }


def test_a_table_may_hold_splits_and_other_columns(tmp_path: Path) -> None:
    write_tree(tmp_path, ["1.png", "2.png", "3.png"])
    rows = [("x", "a", "1.png", "Train"), ("y", "a", "2.png", "validation"), ("z", "a", "3.png", "test")]
    found = read_collection(write_table(tmp_path / "set.csv", rows, ("who", "Label", "path", "split")))
    assert (found.kind, found.splits) == ("a CSV file with splits", ("train", "val", "test"))
    assert found.notes == ("left out columns of set.csv: who",)
    assert classes(found) == {"1.png": "a", "2.png": "a", "3.png": "a"}


def test_labels_of_a_table_are_read_as_people_read_them(tmp_path: Path) -> None:
    labels = ["caf\u00e9", "cafe\u0301", "\ufeffcaf\u00e9", "caf\u00e9\u00a0", '"caf\u00e9"', "\u200bcaf\u00e9"]
    lines = [f"{i}.png, {label}, train\u00a0\n" for i, label in enumerate(labels)]
    (tmp_path / "set.csv").write_text(
        "\ufeff\ufeffPath, label , Split\n" + "".join(lines) + " , ,\n", encoding="utf-8"
    )
    found = read_collection(tmp_path / "set.csv")
    assert (found.classes, set(found.splits or ()), found.notes) == (("caf\u00e9",), {"train"}, ())


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    """As pandas writes its index, and a spreadsheet a column that was emptied."""
    (tmp_path / "set.csv").write_text(",path,label,,who,who\n0,1.png,a,,x,y\n1,2.png,b,,x,y\n")
    found = read_collection(tmp_path / "set.csv")
    assert classes(found) == {"1.png": "a", "2.png": "b"}
    assert found.notes == ("left out columns of set.csv: one without a name, one without a name, who, …",)


def test_listed_names_are_found_in_the_form_that_the_disk_has(tmp_path: Path) -> None:
    written = write_tree(tmp_path / "images", ["cafe\u0301/1.png", "cafe\u0301/2.png"])
    told = ["caf\u00e9/1.png", "cafe\u0301/2.png"]
    table = write_table(tmp_path / "set.csv", [(f"images/{name}", "a") for name in told])
    coco = write_coco(tmp_path / "set.json", {name: ["a"] for name in told}, ["a"])
    for file in (table, coco, tmp_path / "images"):
        found = read_collection(file)
        for i, image in enumerate(written.values()):
            assert np.array_equal(np.asarray(Image.open(found.picture(i).path)), image)
        assert [name.removeprefix("images/") for name in found.names] == ["caf\u00e9/1.png", "caf\u00e9/2.png"]
    with pytest.raises(DataError, match="line 3: caf\u00e9/1.png is already in line 2"):
        read_collection(write_table(tmp_path / "twice.csv", [("caf\u00e9/1.png", "a"), ("cafe\u0301/1.png", "a")]))


def test_folders_that_differ_in_pieces_are_one_class_and_keep_all_images(tmp_path: Path) -> None:
    write_tree(tmp_path, ["caf\u00e9/1.png", "cafe\u0301/1.png", "cafe\u0301/2.png"])
    found = read_collection(tmp_path)
    assert (found.classes, len(found), len({found.picture(i).path for i in range(3)})) == (("caf\u00e9",), 3, 3)


def test_test_images_of_a_table_may_lack_a_label(tmp_path: Path) -> None:
    rows = [("1.png", "a", "train"), ("2.png", "b", "train"), ("3.png", "", "test"), ("4.png", " ", "test")]
    found = read_collection(write_table(tmp_path / "set.csv", rows, ("path", "label", "split")))
    assert found.labels.tolist() == [0, 1, -1, -1] and found.classes == ("a", "b")
    assert found.notes == ("2 test images without a class: they can be predicted, not scored",)
    with pytest.raises(DataError, match=r"2 test images without a class, beside others with one \(3.png, 4.png\)"):
        read_collection(
            write_table(tmp_path / "b.csv", [*rows, ("5.png", "a", "test")], ("path", "label", "split"))
        )
    with pytest.raises(DataError, match="line 5 has no label. Every image needs one, except those of a test split"):
        rows[3] = ("4.png", "", "val")
        read_collection(write_table(tmp_path / "c.csv", rows, ("path", "label", "split")))


def test_splits_never_get_lost_in_silence(tmp_path: Path) -> None:
    rows = [("train/1.png", "a", "Train"), ("test/2.png", "a", "test")]
    with pytest.raises(DataError, match="set.csv: its column 'subset' holds splits. Call it 'split', or remove it"):
        read_collection(write_table(tmp_path / "set.csv", rows, ("path", "label", "subset")))
    found = read_collection(write_table(tmp_path / "b.csv", [row[:2] for row in rows]))
    assert found.notes == (
        "Warning: the images lie in test, train, but are split anew; a CSV column 'split' keeps splits",
    )
    with pytest.raises(
        DataError, match="the classes are called Train, test, like splits. Name what the images show"
    ):
        read_collection(write_table(tmp_path / "c.csv", [(row[0], row[2]) for row in rows]))
    coco = write_coco(tmp_path / "set.json", {"1.png": ["train"], "2.png": ["validation"]}, ["train", "validation"])
    with pytest.raises(DataError, match="the classes are called train, validation, like splits"):
        read_collection(coco)


def test_splits_that_share_no_class_with_train_are_refused_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "tree", ["train/n1/images/1.png", "train/n2/images/2.png", "val/images/3.png"])
    rows = [("1.png", "n1", "train"), ("2.png", "n2", "train"), ("3.png", "images", "val")]
    table = write_table(tmp_path / "set.csv", rows, ("path", "label", "split"))
    parts = {
        "train": fake_data([pixels(0), pixels(1)], ["n1", "n2"], None),
        "val": fake_data([pixels(2)], ["images"], None),
    }
    for source in (tmp_path / "tree", table, save_fake(monkeypatch, tmp_path / "saved", parts)):
        with pytest.raises(DataError) as refusal:
            read_collection(source)
        assert str(refusal.value) == (
            "val shares no class with train (val has images, train has n1, n2). "
            "Sort its images into the classes of train."
        )
    rows[2] = ("3.png", "images", "test")
    with pytest.raises(DataError, match="classes of train, or put them directly into test, to predict"):
        read_collection(write_table(table, rows, ("path", "label", "split")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'path'. Its first line must be path,label[,split], not nothing"),
        ("1.png,a\n", "has no column 'path'. Its first line must be path,label[,split], not 1.png,a"),
        ("path,class\n1.png,a\n", "has no column 'label'"),
        ("path,label,split\n1.png,,test\n", "without classes cannot be added. Give every train image a class"),
        ("path,label,label\n1.png,a,b\n", "has two columns 'label'. Keep one"),
        ("path,label\n", "lists no images"),
        ("path,label\n\n1.png, \n", "line 3 has no label"),
        ("path,label\n1.png,a\n2.png\n", "line 3 has 1 fields, the first line 2. Quote fields that contain commas"),
        ("path,label\n1.png,a,b\n", "line 2 has 3 fields"),
        ("path,label\n1.png,a\n./1.png,b\n", "line 3: 1.png is already in line 2"),
        ("path,label\n../1.png,a\n", "line 2: path '../1.png' leads out of its folder"),
        ("path,label\na/../../1.png,a\n", "line 2: path 'a/../../1.png' leads out of its folder"),
        ("path,label\n/etc/1.png,a\n", "line 2: path '/etc/1.png' is absolute"),
        ("path,label\nC:\\1.png,a\n", "is absolute or not written with forward slashes"),
        ("path,label\n,a\n", "line 2: path '' names no file"),
        ("path,label,split\n1.png,a,\n", "line 2: split is ''. It must be train, val or test"),
        ("path,label,split\n1.png,a,train\n2.png,a,holdout\n", "line 3: split is 'holdout'"),
        ('path,label\n"1.png,a\n', "line 2: unexpected end of data. Correct the line"),
        ('path,label\n"1.png"x,a\n', "line 2: ',' expected after '\"'"),
        ("path,label\n1.png,a\x01\n", "has unprintable characters"),
    ],
)
def test_a_wrong_table_is_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "set.csv"
    path.write_text(text)
    with pytest.raises(DataError) as refusal:
        read_collection(path)
    assert message in str(refusal.value)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_bytes("path,label\n1.png,Käfer\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8. Save it in that encoding"):
        read_collection(path)


@pytest.mark.parametrize("place", ["", "images", "../", "../images"])
def test_an_annotation_comes_back_pixel_by_pixel(tmp_path: Path, place: str) -> None:
    file = tmp_path / "set" / "annotations.json"
    written = write_tree(file.parent / place, [f"{i}.png" for i in range(10)])
    labels = {name: ["zebra"] if i % 2 else ["ape", "ape"] for i, name in enumerate(written)}
    done = added(tmp_path / "own.h5", write_coco(file, labels, ["zebra", "ape", "cow"]))
    assert done.truth is not None
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    assert {image: label for (_, image), label in found.items()} == {
        key(image): labels[name][0] for name, image in written.items()
    }
    assert "Warning: left out 1 class without images: cow" in read_collection(file).notes


def spoil(change: Callable[[dict[str, list[dict[str, object]]]], object]) -> Callable[[Path], object]:
    def spoiled(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoiled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(lambda d: d.pop("images")), "images is missing"),
        (spoil(lambda d: d.update(images=[], annotations=[])), "'images' is empty"),
        (spoil(lambda d: d["annotations"].pop()), "1 of 4 images without a category (3.png). Annotate them"),
        (
            spoil(lambda d: d["annotations"].append({"image_id": 0, "category_id": 10})),
            "1 of 4 images with several categories (0.png). Keep the annotations of one category per image",
        ),
        (spoil(lambda d: d["annotations"][0].update(category_id=4)), "has category id 4, which is not in"),
        (spoil(lambda d: d["annotations"][0].update(image_id=9)), "an annotation has image id 9, which is not"),
        (
            spoil(lambda d: d["annotations"][0].update(image_id=True)),
            "annotations[0].image_id is true, not a whole number",
        ),
        (spoil(lambda d: d["images"][0].update(id=1)), "'images' has a duplicate id 1"),
        (spoil(lambda d: d["images"][0].update(file_name="../0.png")), "not a relative path inside its folder"),
        (spoil(lambda d: d["images"][0].update(file_name="1.png")), "duplicate image 1.png"),
        (spoil(lambda d: d["categories"][0].update(name="b")), "duplicate category name 'b'"),
        (lambda path: path.write_text('{"images": NaN}'), "is not valid JSON"),
        (lambda path: path.write_text("[]"), "the whole is a list, not an object"),
    ],
)
def test_a_wrong_annotation_is_refused(tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    path = write_coco(tmp_path / "set.json", {f"{i}.png": ["ab"[i % 2]] for i in range(4)}, ["a", "b"])
    change(path)
    with pytest.raises(DataError) as refusal:
        read_collection(path)
    assert message in str(refusal.value)


def test_a_saved_data_set_comes_back_pixel_by_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [pixels(i) for i in range(12)]
    saved = fake_data(images, [i % 2 for i in range(12)], ["zebra", "ape"])
    done = added(tmp_path / "own.h5", save_fake(monkeypatch, tmp_path / "saved", saved))
    assert done.truth is not None
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    assert {image: label for (_, image), label in found.items()} == {
        key(image): ["zebra", "ape"][i % 2] for i, image in enumerate(images)
    }


def test_splits_of_saved_data_sets_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: fake_data([pixels(i)], ["x"], None) for i, name in enumerate(("train", "validation", "test"))}
    parts["test"].columns["image"] = [{"bytes": None, "path": str(tmp_path / "1.png")}]  # kept as a file
    write_tree(tmp_path, ["1.png"])
    done = added(tmp_path / "own.h5", save_fake(monkeypatch, tmp_path / "saved", parts))
    assert done.truth is not None
    found = packed(tmp_path / "own.h5", "mine", done.truth)
    assert found == {("train", key(pixels(0))): "x", ("val", key(pixels(1))): "x", ("test", key(pixels(0))): "x"}


@pytest.mark.parametrize("column", ["none", "all -1", "all missing"])
def test_test_images_of_a_saved_data_set_may_lack_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    labels = [-1, -1] if column == "all -1" else [None, None]
    parts = {name: fake_data([pixels(0), pixels(1)], labels, ["a", "b"]) for name in ("train", "test")}
    parts["train"].columns["label"] = [0, 1]
    if column == "none":
        del parts["test"].columns["label"], parts["test"].features["label"]
    found = read_collection(save_fake(monkeypatch, tmp_path / "saved", parts))
    assert dict(zip(found.names, found.labels.tolist(), strict=True)) == {
        "train/0": 0, "train/1": 1, "test/0": -1, "test/1": -1
    }  # fmt: skip
    parts["validation"] = parts.pop("test")
    with pytest.raises(DataError):
        read_collection(save_fake(monkeypatch, tmp_path / "saved", parts))


def test_a_column_of_splits_in_one_saved_data_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = fake_data([pixels(0), pixels(1)], ["a", "b"], None)
    saved.features["split"], saved.columns["split"] = "string", ["train", "test"]
    with pytest.raises(
        DataError, match="its column 'split' holds splits. Save a DatasetDict with one data set each"
    ):
        read_collection(save_fake(monkeypatch, tmp_path / "saved", saved))


def test_the_package_datasets_reads_what_it_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    write_tree(tmp_path, ["0.png", "1.png"])
    columns = {"image": [str(tmp_path / "0.png"), str(tmp_path / "1.png")], "label": [1, 0]}
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["zebra", "ape"])}
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).save_to_disk(str(tmp_path / "saved"))
    found = read_collection(tmp_path / "saved")
    assert classes(found) == {"image/0": "ape", "image/1": "zebra"}
    assert found.picture(1).read() == (tmp_path / "1.png").read_bytes()


@pytest.mark.parametrize(
    ("features", "columns", "message"),
    [
        ({"label": FakeClassLabel(["a"])}, {"label": [0]}, "must have one FakeImage column and has none"),
        ({"image": FakeImage()}, {"image": [None]}, "must have one FakeClassLabel column and has none"),
        (
            {"image": FakeImage(), "fine": FakeClassLabel(["a"]), "coarse": FakeClassLabel(["b"])},
            {"image": [None], "fine": [0], "coarse": [0]},
            "must have one FakeClassLabel column and has fine, coarse. Remove others with remove_columns",
        ),
        (
            {"image": FakeImage(), "label": FakeClassLabel(["a"])},
            {"image": [None, None], "label": [0, -1]},
            "1 of 2 images without a class. Drop their split",
        ),
        (
            {"image": FakeImage(), "label": "int64"},
            {"image": [None], "label": [3]},
            "must hold ClassLabel or class",
        ),
    ],
)
def test_a_wrong_saved_data_set_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    features: dict[str, object],
    columns: dict[str, list[object]],
    message: str,
) -> None:
    saved = fake_data([], [], None)
    saved.features, saved.columns = features, columns
    with pytest.raises(DataError) as refusal:
        read_collection(save_fake(monkeypatch, tmp_path / "saved", saved))
    assert message in str(refusal.value)


def test_a_damaged_saved_data_set_and_a_foreign_split_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"is not a complete Hugging Face data set \(cut short\). Save it again"):
        read_collection(save_fake(monkeypatch, tmp_path / "saved", ValueError("cut short")))
    parts = {"unsupervised": fake_data([pixels(0)], ["x"], None)}
    with pytest.raises(DataError, match="has a split 'unsupervised', not train, val or test"):
        read_collection(save_fake(monkeypatch, tmp_path / "saved", parts))


def test_without_the_package_datasets_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_fake(monkeypatch, tmp_path / "saved", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"To read it run: pip install 'visual-decathlon\[datasets\]'"):
        read_collection(folder)


def test_what_is_no_data_set_is_refused_with_the_way_on(tmp_path: Path, source: Path) -> None:
    for name in ("set.zip", "set.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match="absent does not exist. Pass to --from a folder of class folders"):
        read_collection(tmp_path / "absent")
    with pytest.raises(UsageError, match="set.zip is an archive. Unpack it"):
        read_collection(tmp_path / "set.zip")
    with pytest.raises(DataError, match="set.txt is not a data set"):
        read_collection(tmp_path / "set.txt")
    with pytest.raises(UsageError, match="official layout. Pack it with: decathlon data prepare .* -o FILE.h5"):
        read_collection(source)
