"""The original data sets, read from stand-ins in their authors' layout: pixels, labels, classes, splits."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from torchvision import datasets  # type: ignore[import-untyped]

from decathlon.data.decoding import MAX_SIDE, decode
from decathlon.data.official import OFFICIAL
from decathlon.data_prep.originals.build import find, names
from decathlon.data_prep.originals.original import Examples, Original
from decathlon.data_prep.sources.file_tree import open_tree
from tests.conftest import outside
from tests.helpers import originals as stand_ins
from tests.helpers.challenge_sources import archive


def read(name: str, *paths: Path) -> Original:
    module = find(name)
    original = module.read(open_tree(paths, module.LAYOUT))
    assert isinstance(original, Original)
    return original


def classes(original: Original, examples: Examples | None) -> list[str]:
    assert examples is not None
    return [original.names[label] for label in examples.labels.tolist()]


def pixels(examples: Examples | None, i: int) -> npt.NDArray[np.uint8]:
    assert examples is not None
    picture = examples.picture(i)
    return np.asarray(decode(picture.read(), picture.name, MAX_SIDE))


def first_colours(examples: Examples | None) -> list[tuple[int, ...]]:
    assert examples is not None
    return [tuple(pixels(examples, i)[0, 0].tolist()) for i in range(len(examples))]


def colours(numbers: Any) -> list[tuple[int, ...]]:
    return [tuple(stand_ins.colour(i)[0, 0].tolist()) for i in numbers]


def test_there_is_a_file_for_every_domain() -> None:
    assert names() == sorted(OFFICIAL)
    assert all((find(name).__doc__ or "").startswith(f"{name}: ") for name in names())


def test_cifar100_records_become_images(tmp_path: Path) -> None:
    original = read("cifar100", stand_ins.cifar100(tmp_path))
    assert original.names == ("apple", "aquarium_fish", "baby", "bear", "beaver")
    assert original.val is None and original.test is not None
    assert original.train.labels.tolist() == [i % 5 for i in range(40)]
    assert first_colours(original.train) == colours(range(40))
    assert first_colours(original.test) == colours(range(40, 50))
    half = np.arange(3072, dtype=np.uint32).astype(np.uint8)  # planes, not pixels: channel 1 begins at value 1024
    (tmp_path / "cifar-100-binary/test.bin").write_bytes(b"\0\1" + half.tobytes())
    again = read("cifar100", tmp_path)
    assert np.array_equal(pixels(again.test, 0), half.reshape(3, 32, 32).transpose(1, 2, 0))


def test_cifar100_from_its_archive_equals_the_folder(tmp_path: Path) -> None:
    folder = stand_ins.cifar100(tmp_path)
    packed = archive(folder, tmp_path / "cifar-100-binary.tar.gz", "cifar-100-binary")
    one, two = read("cifar100", folder), read("cifar100", packed)
    assert one.names == two.names and first_colours(one.train) == first_colours(two.train)


def test_svhn_digits_and_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read("svhn", stand_ins.svhn(tmp_path, stand_ins.mat_writer(monkeypatch)))
    assert classes(original, original.train) == [str(i % 10) for i in range(40)]
    assert first_colours(original.train) == colours(range(40))
    assert first_colours(original.test) == colours(range(40, 50)) and original.val is None


def test_svhn_images_stand_upright_and_one_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    mat = stand_ins.mat_writer(monkeypatch)
    for split in ("train", "test"):
        mat(tmp_path / f"{split}_32x32.mat", {"X": image[..., None], "y": np.array([[10]], np.uint8)})
    original = read("svhn", tmp_path)
    assert np.array_equal(pixels(original.test, 0), image) and classes(original, original.test) == ["0"]


def test_gtsrb_classes_tracks_and_the_table(tmp_path: Path) -> None:
    original = read("gtsrb", stand_ins.gtsrb(tmp_path))
    assert len(original.names) == 43 and original.names[:3] == ("TrafficSign1", "TrafficSign10", "TrafficSign11")
    assert set(classes(original, original.train)[5:15]) == {"TrafficSign2"}
    signs = [f"TrafficSign{k + 1}" for k in (9, 0, 42, 1, 1, 9, 0)]
    assert classes(original, original.test) == signs and first_colours(original.test) == colours(range(50, 57))
    assert original.train.groups is not None
    assert np.array_equal(original.train.groups, np.arange(50) // 5)


def test_dtd_takes_split_one(tmp_path: Path) -> None:
    original = read("dtd", stand_ins.dtd(tmp_path))
    assert original.names == ("banded", "zigzagged")
    assert [len(part or ()) for part in (original.train, original.val, original.test)] == [6, 6, 6]
    assert classes(original, original.val) == ["zigzagged"] * 3 + ["banded"] * 3


def test_flowers_numbers_are_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = read("vgg-flowers", stand_ins.flowers(tmp_path, stand_ins.mat_writer(monkeypatch)))
    assert len(original.names) == 102 and original.names[:3] == ("Flower11", "Flower110", "Flower1100")
    for part in (original.train, original.val, original.test):
        assert classes(original, part) == ["Flower11", "Flower12", "Flower110", "Flower1102"]
    assert original.test is not None and original.test.picture(0).name.endswith("jpg/image_00009.jpg")


def test_aircraft_variants_keep_their_slashes_and_spaces(tmp_path: Path) -> None:
    original = read("aircraft", stand_ins.aircraft(tmp_path))
    assert original.names == ("DHC 8", "F-16A/B", "Yak-42")
    for part in (original.train, original.val, original.test):
        assert classes(original, part) == ["Yak-42", "Yak-42", "F-16A/B", "F-16A/B", "DHC 8", "DHC 8"]


def test_omniglot_is_white_on_black(tmp_path: Path) -> None:
    original = read("omniglot", stand_ins.omniglot(tmp_path))
    assert original.names == ("1", "2", "3") and original.val is None and original.test is None
    assert np.bincount(original.train.labels).tolist() == [20, 20, 20]
    assert original.train.picture(0).name.startswith(f"{tmp_path.name}/images_background/Braille")
    image = pixels(original.train, 0)
    assert set(np.unique(image)) == {0, 255} and (image == 255).sum() == 3 * 5 * 20
    assert (image[:5, 30:50] == 255).all()


def test_omniglot_classes_are_sorted_as_strings(tmp_path: Path) -> None:
    for k in range(1, 12):
        part = "images_background" if k < 11 else "images_evaluation"
        stand_ins.save(tmp_path / part / f"A/character{k:02d}/0001_01.png", np.zeros((9, 9, 3), np.uint8), "1")
    original = read("omniglot", tmp_path)
    assert original.names[:4] == ("1", "10", "11", "2")
    assert classes(original, original.train) == [str(k) for k in range(1, 12)]


def test_daimler_folders(tmp_path: Path) -> None:
    original = read("daimlerpedcls", stand_ins.daimler(tmp_path))
    assert original.names == ("nonped", "ped") and original.test is not None
    assert classes(original, original.train) == (["ped"] * 10 + ["nonped"] * 10) * 3
    assert classes(original, original.test) == (["ped"] * 10 + ["nonped"] * 10) * 2
    assert np.array_equal(pixels(original.test, 12), np.full((36, 18, 3), 25))


def test_imagenet_labels_are_the_same_from_folders_table_and_kit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mat = stand_ins.mat_writer(monkeypatch)
    sorted_ = read("imagenet12", stand_ins.imagenet12(tmp_path / "sorted"))
    flat = stand_ins.imagenet12(tmp_path / "flat", flat=True)
    kit = read("imagenet12", flat, stand_ins.development_kit(tmp_path / "kit", mat))
    table = tmp_path / "LOC_val_solution.csv"
    rows = (f"ILSVRC2012_val_{n:08d},{stand_ins.WNIDS[n % 3]} 85 1 499 272 " for n in (3, 1, 2, 6, 5, 4))
    stand_ins.text(table, "ImageId,PredictionString", *rows)
    for original in (sorted_, kit, read("imagenet12", flat, table)):
        assert original.names == stand_ins.WNIDS and len(original.notes) == 1
        assert original.train.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
        assert original.test is not None and original.test.labels.tolist() == [1, 2, 0, 1, 2, 0]
        assert original.test.picture(0).name.endswith("ILSVRC2012_val_00000001.JPEG")


def test_imagenet_leaves_out_what_a_later_kit_discards(tmp_path: Path) -> None:
    root = stand_ins.imagenet12(tmp_path)
    stand_ins.text(tmp_path / "data/ILSVRC2014_clsloc_validation_blacklist.txt", "2", "5")
    original = read("imagenet12", root)
    assert original.notes == () and original.test is not None
    assert [original.test.picture(i).name[-9:-5] for i in range(4)] == ["0001", "0003", "0004", "0006"]
    assert original.test.labels.tolist() == [1, 0, 1, 0]


def test_imagenet_from_tars_of_tars(tmp_path: Path) -> None:
    root = stand_ins.imagenet12(tmp_path / "images")
    for wnid in stand_ins.WNIDS:
        archive(root / "train" / wnid, tmp_path / "tars" / f"{wnid}.tar")
    train = archive(tmp_path / "tars", tmp_path / "ILSVRC2012_img_train.tar")
    one, two = read("imagenet12", root), read("imagenet12", train, root / "val")
    assert one.names == two.names and one.train.labels.tolist() == two.train.labels.tolist()
    assert [pixels(one.train, i).tobytes() for i in range(18)] == [
        pixels(two.train, i).tobytes() for i in range(18)
    ]


def test_ucf101_lists_and_frames(tmp_path: Path) -> None:
    original = read("ucf101", stand_ins.ucf101(tmp_path))
    assert original.names == ("HandstandPushups", "YoYo") and original.test is not None
    assert classes(original, original.train) == ["YoYo"] * 8 + ["HandstandPushups"] * 8
    assert classes(original, original.test) == ["YoYo"] * 2 + ["HandstandPushups"] * 2
    assert original.train.groups is not None
    assert np.array_equal(original.train.groups, np.arange(16) // 2)
    image = pixels(original.train, 0)
    assert image.shape == (24, 24, 3)
    # The bright square moves right: where it ends is bright, where it began dark, what never changes between.
    began, ended, still = (int(image[y, x, 0]) for y, x in ((1, 1), (1, 13), (20, 12)))
    assert began + 50 < still < ended - 50


def test_ucf101_leaves_out_optical_flow_and_says_so(tmp_path: Path) -> None:
    right = pixels(read("ucf101", stand_ins.ucf101(tmp_path)).train, 0)
    for frame in [*tmp_path.rglob("frame*.png")]:
        for axis in "xy":
            stand_ins.save(
                frame.with_name(f"flow_{axis}_{frame.stem[5:]}.jpg"), np.full((24, 32, 3), 128, np.uint8)
            )
    original = read("ucf101", tmp_path)
    assert np.array_equal(pixels(original.train, 0), right)
    assert original.notes == ("left out 200 images of optical flow beside the frames.",)


def test_class_names_and_their_order_are_the_released_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that a data set's files do not give, and the rule that all are sorted as strings."""
    mat = stand_ins.mat_writer(monkeypatch)
    released = {}
    with zipfile.ZipFile(outside("DECATHLON_TEST_LABELS", "data/decathlon-test-labels.zip")) as labels:
        for name in OFFICIAL:
            categories = json.loads(labels.read(f"{name}_test.json"))["categories"]
            assert [c["id"] - 10**7 * OFFICIAL[name].index for c in categories] == list(
                range(1, len(categories) + 1)
            )
            released[name] = tuple(c["name"] for c in categories)
    assert all(list(own) == sorted(own) and len(own) == OFFICIAL[name].classes for name, own in released.items())
    assert read("svhn", stand_ins.svhn(tmp_path / "s", mat)).names == released["svhn"]
    assert read("gtsrb", stand_ins.gtsrb(tmp_path / "g")).names == released["gtsrb"]
    assert read("vgg-flowers", stand_ins.flowers(tmp_path / "f", mat)).names == released["vgg-flowers"]
    assert read("daimlerpedcls", stand_ins.daimler(tmp_path / "d", 1)).names == released["daimlerpedcls"]
    assert tuple(sorted(str(i + 1) for i in range(1623))) == released["omniglot"]
    for name, make in (("aircraft", stand_ins.aircraft), ("dtd", stand_ins.dtd), ("ucf101", stand_ins.ucf101)):
        own = set(read(name, make(tmp_path / name)).names) - {"DHC 8"}  # a name with a space, which no variant has
        assert own <= set(released[name])
    assert set(read("cifar100", stand_ins.cifar100(tmp_path)).names) <= set(released["cifar100"])
    assert set(stand_ins.WNIDS) <= set(released["imagenet12"])


def same(original: Original, part: Examples | None, theirs: Any, names: list[str]) -> None:
    """Compare all images and classes with those of a torchvision data set whose labels mean `names`."""
    assert part is not None and len(part) == len(theirs) > 0
    assert [names[theirs[i][1]] for i in range(len(theirs))] == classes(original, part)
    for i in range(len(part)):
        assert np.array_equal(pixels(part, i), np.asarray(theirs[i][0].convert("RGB")))


def test_torchvision_reads_the_same_textures_aircraft_and_signs(tmp_path: Path) -> None:
    dtd, aircraft = read("dtd", stand_ins.dtd(tmp_path / "dtd")), read("aircraft", stand_ins.aircraft(tmp_path))
    for split in ("train", "val", "test"):
        theirs = datasets.DTD(str(tmp_path), split)
        same(dtd, getattr(dtd, split), theirs, theirs.classes)
        theirs = datasets.FGVCAircraft(str(tmp_path), split)
        same(aircraft, getattr(aircraft, split), theirs, theirs.classes)
    signs = read("gtsrb", stand_ins.gtsrb(tmp_path / "gtsrb"))
    theirs = datasets.GTSRB(str(tmp_path), "test")
    same(signs, signs.test, theirs, [f"TrafficSign{k + 1}" for k in range(43)])


def test_torchvision_reads_the_same_characters_but_black_on_white(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.Omniglot, "_check_integrity", lambda self: True)  # of the archive
    mine = read("omniglot", stand_ins.omniglot(tmp_path / "omniglot-py")).train
    black: dict[tuple[bool, int], set[bytes]] = {}  # torchvision leaves files in the order of the disk
    for part in (True, False):
        for image, label in datasets.Omniglot(str(tmp_path), part):
            black.setdefault((part, label), set()).add(np.asarray(image.convert("RGB")).tobytes())
    white: dict[int, set[bytes]] = {}
    for i, label in enumerate(mine.labels.tolist()):
        white.setdefault(label, set()).add((255 - pixels(mine, i)).tobytes())
    assert sorted(map(sorted, black.values())) == sorted(map(sorted, white.values())) and len(white) == 3
