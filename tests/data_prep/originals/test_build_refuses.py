"""`decathlon data build` with what is missing, damaged or of another data set: one sentence that names it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from decathlon.errors import DataError, UsageError
from tests.data_prep.originals.test_build import PLAIN, run
from tests.helpers import originals as stand_ins

FRAME = "v_YoYo_g03_c02/frame9.png"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cifra", "--from", "x", "-o", "y.h5"), "unknown domain 'cifra'. Did you mean cifar100"),
        (("gtsrb", "-o", "y.h5"), r"Add -o FILE.h5 and --from with the folder GTSRB with Final_Tr"),
        (("gtsrb", "--from", "x"), "building gtsrb needs a source and an output. Add -o FILE.h5"),
        (("gtsrb", "--from", "nowhere", "-o", "y.h5"), "nowhere does not exist. Pass the folder GTSRB"),
    ],
)
def test_wrong_usage_says_what_is_needed(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(*words)


def remove(*patterns: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for path in [path for pattern in patterns for path in root.rglob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def replace(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (path,) = root.rglob(pattern)
        content = path.read_bytes()
        assert old.encode() in content
        path.write_bytes(content.replace(old.encode(), new.encode(), 1))

    return spoil


def append(pattern: str, more: bytes) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (path,) = root.rglob(pattern)
        path.write_bytes(path.read_bytes() + more)

    return spoil


def pickled(root: Path) -> None:
    remove("cifar-100-binary")(root)
    for name in ("train", "test", "meta"):
        stand_ins.text(root / "cifar-100-python" / name, "(pickled)")


def move(pattern: str, folder: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for path in list(root.glob(pattern)):
            shutil.move(path, root / folder / path.name)

    return spoil


def beside(pattern: str, name: str) -> Callable[[Path], None]:
    """Put a copy of a file beside it, or into another folder."""

    def spoil(root: Path) -> None:
        (path,) = root.rglob(pattern)
        stand_ins.text(path.parent / name)
        shutil.copy(path, path.parent / name)

    return spoil


def twice(root: Path) -> None:
    stand_ins.imagenet12(root / "again")
    shutil.rmtree(root / "again/train")


def blank(root: Path) -> None:
    """Give no label to the sixth image."""
    move("val/*/*", "val")(root)
    rows = (f"ILSVRC2012_val_{n:08d},n01440764 85 1 499 272" for n in range(1, 6))
    stand_ins.text(root / "LOC_val_solution.csv", "ImageId,PredictionString", *rows, "ILSVRC2012_val_00000006,")


def discard(root: Path) -> None:
    stand_ins.text(root / "ILSVRC2014_clsloc_validation_blacklist.txt", "3", "four")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("cifar100", pickled, "is the Python version, and pickle is never loaded.*cifar-100-binary"),
        ("cifar100", remove("test.bin"), r"has no test.bin. Pass cifar-100-binary \(train.bin"),
        (
            "cifar100",
            append("train.bin", b"x"),
            r"train.bin has 122,961 bytes, not a multiple of the record size 3,074",
        ),
        ("cifar100", append("test.bin", b"\0\5" + bytes(3072)), "record 10 has label 5, the last class is 4"),
        ("cifar100", append("fine_label_names.txt", b"\xff"), "fine_label_names.txt is not a text file"),
        ("gtsrb", remove("Final_Training"), "has no Final_Training/Images"),
        ("gtsrb", remove("GT-final_test.csv"), r"has no GT-final_test.csv"),
        ("gtsrb", remove("Final_Test"), r"lists 7 images, Final_Test/Images holds 0 \(00000.ppm, for instance\)"),
        (
            "gtsrb",
            replace("GT-final_test.csv", ";42", ";43"),
            "has the class 'TrafficSign44'. It must be one of the original's 43",
        ),
        ("gtsrb", replace("GT-final_test.csv", ";42", ";x"), "no readable columns Filename and ClassId"),
        ("gtsrb", replace("GT-final_test.csv", "ClassId", "Class"), r"no readable columns .* \('ClassId'\)"),
        ("gtsrb", append("00003.ppm", b""), None),
        ("dtd", remove("val1.txt"), "has no labels/val1.txt. Pass the folder dtd"),
        ("dtd", remove("zigzagged"), "has no images/zigzagged/zigzagged_0000.jpg, which labels/train1.txt lists"),
        ("aircraft", remove("variants.txt"), "has no variants.txt. Pass the folder fgvc-aircraft-2013b"),
        (
            "aircraft",
            replace("images_variant_val.txt", "Yak-42", "Yak-43"),
            "has the class 'Yak-43'. It must be one",
        ),
        ("aircraft", replace("images_variant_val.txt", " Yak-42", ""), "is not an image number and a variant"),
        ("aircraft", remove("1000004.jpg"), r"has no images/1000004.jpg, which .*images_variant_train.txt lists"),
        ("omniglot", remove("images_evaluation"), "has no images_evaluation/<alphabet>"),
        (
            "daimlerpedcls",
            remove("T2"),
            r"has no T2/ped_examples/<name>.pgm. Pass the folder DC-ped-dataset_base",
        ),
        (
            "daimlerpedcls",
            replace("3/ped_examples/img_00004.pgm", "P5", "PX"),
            "img_00004.pgm is not a JPEG, PNG",
        ),
        ("imagenet12", remove("train"), "has no n<8 digits>/n<8 digits>_<number>.JPEG for training"),
        ("imagenet12", remove("val"), "has no ILSVRC2012_val_<number>.JPEG"),
        ("imagenet12", move("val/n01440764", "val/n01443537"), None),
        (
            "imagenet12",
            move("val/n01440764/*", "val"),
            "has no ILSVRC2012_validation_ground_truth.txt. Pass ILSVRC",
        ),
        ("imagenet12", twice, "has 12 validation images with duplicates"),
        ("imagenet12", blank, "has no label of from/val/ILSVRC2012_val_00000006.JPEG"),
        ("imagenet12", discard, "clsloc_validation_blacklist.txt does not have one number per line"),
        ("ucf101", remove("testlist01.txt"), "has no testlist01.txt. Pass the folder UCF-101"),
        ("ucf101", remove("v_YoYo_g03_c02"), "has no v_YoYo_g03_c02.avi and no folder of its frames"),
        ("ucf101", replace("trainlist01.txt", ".avi", ".mp4"), "is not a video. Copy the list again"),
        (
            "ucf101",
            beside(FRAME, "x_9.png"),
            "frame9.png and .*x_9.png: two kinds of frames of one video. Keep one",
        ),
        ("ucf101", beside(FRAME, "thumbnail_0.png"), "frame10.png and .*thumbnail_0.png: two kinds of frames"),
        ("ucf101", beside(FRAME, "frame09.png"), "frame09.png and .*frame9.png: two kinds of frames"),
        ("ucf101", beside(FRAME, "frame9.jpg"), "frame9.jpg and .*frame9.png: two kinds of frames"),
        ("ucf101", beside(FRAME, "../../u/v_YoYo_g03_c02/frame9.png"), "two kinds of frames of one video"),
        ("ucf101", beside(FRAME, "._frame9.png"), None),
        ("ucf101", beside(FRAME, "flow_x_9.png"), None),
        (
            "dtd",
            beside("zigzagged_0000.jpg", "../../../again/images/zigzagged/zigzagged_0000.jpg"),
            "only one of them",
        ),
        (
            "aircraft",
            beside("1000004.jpg", "../../again/images/1000004.jpg"),
            "Pass a folder with only one of them",
        ),
        ("gtsrb", beside("Final_Test/Images/00003.ppm", "../../b/Final_Test/Images/00003.ppm"), "only one of them"),
    ],
)
def test_what_is_missing_or_damaged_is_named(
    name: str, spoil: Callable[[Path], None], message: str | None, tmp_path: Path
) -> None:
    root, output = tmp_path / "from", tmp_path / "out" / "x.h5"
    PLAIN[name](root)
    spoil(root)
    if message is None:  # the control: the same road without damage
        assert run(name, "--from", root, "-o", output).exit_code == 0
        return
    with pytest.raises(DataError, match=message) as error:
        run(name, "--from", root, "-o", output)
    told = str(error.value)
    assert told.endswith(".") and "\n" not in told and not output.exists()


@pytest.mark.parametrize("name", PLAIN)
def test_the_folder_of_another_data_set_is_refused(name: str, tmp_path: Path) -> None:
    other = "dtd" if name != "dtd" else "omniglot"
    with pytest.raises(DataError, match="has no .*. Pass "):
        run(name, "--from", PLAIN[other](tmp_path), "-o", tmp_path / "x.h5")


def test_matlab_files_without_scipy_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.svhn(tmp_path, stand_ins.mat_writer(monkeypatch))
    data = (tmp_path / "test_32x32.mat").read_bytes()
    (tmp_path / "test_32x32.mat").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        DataError, match=r"test_32x32.mat is not a sound Matlab file \(.*\). Copy or download it again"
    ):
        run("svhn", "--from", tmp_path, "-o", tmp_path / "x.h5")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UsageError, match=r"train_32x32.mat needs scipy\. Install it with: pip install scipy"):
        run("svhn", "--from", tmp_path, "-o", tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [11]])},
            "y has values outside 1 to 10",
        ),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1]])}, "y has 1 values, expected uint8"),
        ({"X": np.zeros((32, 32, 3, 2)), "y": np.array([[1], [2]])}, r"X is float64 \(32, 32, 3, 2\)"),
        ({"y": np.array([[1], [2]])}, "has no X"),
    ],
)
def test_wrong_digits_are_refused(
    values: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mat = stand_ins.mat_writer(monkeypatch)
    mat(stand_ins.svhn(tmp_path, mat) / "test_32x32.mat", values)
    with pytest.raises(DataError, match=message):
        run("svhn", "--from", tmp_path, "-o", tmp_path / "x.h5")


def test_flowers_lists_that_do_not_fit_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mat = stand_ins.mat_writer(monkeypatch)
    root = stand_ins.flowers(tmp_path / "f", mat)
    (root / "jpg/image_00007.jpg").unlink()
    with pytest.raises(DataError, match=r"has no jpg/image_00007.jpg"):
        run("vgg-flowers", "--from", root, "-o", tmp_path / "x.h5")
    root = stand_ins.flowers(tmp_path / "g", mat)
    mat(root / "imagelabels.mat", {"labels": np.ones((1, 9), np.uint8)})
    with pytest.raises(DataError, match=r"setid.mat lists image 10, .*imagelabels.mat labels 9"):
        run("vgg-flowers", "--from", root, "-o", tmp_path / "x.h5")
