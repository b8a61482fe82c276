"""Tiny stand-ins of the original data sets, in the layout that their authors released them in.

Every image is one colour of its own in a known order, so that a test can tell which one it got.
"""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

Pixels = npt.NDArray[np.uint8]
MatWriter = Callable[[Path, dict[str, Any]], None]


def mat_writer(monkeypatch: pytest.MonkeyPatch) -> MatWriter:
    """Return what writes a .mat file; without scipy it writes .npz, and a stand-in for scipy reads that."""
    try:
        from scipy.io import savemat
    except ImportError:
        fake = types.ModuleType("scipy.io")
        fake.loadmat = _load  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "scipy", types.ModuleType("scipy"))
        monkeypatch.setitem(sys.modules, "scipy.io", fake)
        return _save
    return lambda path, values: savemat(path, values, do_compression=True)


def _save(path: Path, values: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **values)


def _load(file: io.BytesIO, variable_names: tuple[str, ...]) -> dict[str, Any]:
    with np.load(file) as found:
        return {name: found[name] for name in variable_names if name in found}


def colour(i: int, size: tuple[int, int] = (32, 32)) -> Pixels:
    """Return the i-th image (height, width, 3)."""
    return np.full((size[1], size[0], 3), (i * 7 % 256, i * 31 % 256, i // 36 % 256), np.uint8)


def save(path: Path, pixels: Pixels, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def cifar100(root: Path, train: int = 40, test: int = 10) -> Path:
    """Five classes; image i has class i modulo 5, test images go on counting."""
    folder = root / "cifar-100-binary"
    names = ("apple", "aquarium_fish", "baby", "bear", "beaver")
    text(folder / "fine_label_names.txt", *names, "")
    for file, begin, number in (("train.bin", 0, train), ("test.bin", train, test)):
        records = [bytes([9, i % 5]) + colour(i).transpose(2, 0, 1).tobytes() for i in range(begin, begin + number)]
        (folder / file).write_bytes(b"".join(records))
    return folder


def svhn(root: Path, mat: MatWriter, train: int = 40, test: int = 10) -> Path:
    """Image i shows the digit i modulo 10, which the file calls 10 where it is 0."""
    root.mkdir(parents=True, exist_ok=True)
    for split, begin, number in (("train", 0, train), ("test", train, test)):
        images = np.stack([colour(i) for i in range(begin, begin + number)], -1)
        digits = np.array([[(i - 1) % 10 + 1] for i in range(begin, begin + number)], np.uint8)
        mat(root / f"{split}_32x32.mat", {"X": images, "y": digits})
    return root


def gtsrb(root: Path) -> Path:
    """Class k of four has k + 1 tracks of five frames; seven test images."""
    base, i = root / "GTSRB", 0
    for k in (0, 1, 9, 42):
        for track in range({0: 1, 1: 2, 9: 3, 42: 4}[k]):
            for frame in range(5):
                name = f"Final_Training/Images/{k:05d}/{track:05d}_{frame:05d}.ppm"
                save(base / name, colour(i, (30 + frame, 40)))
                i += 1
        text(base / f"Final_Training/Images/{k:05d}/GT-{k:05d}.csv", "Filename;ClassId")
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number, k in enumerate((9, 0, 42, 1, 1, 9, 0)):
        save(base / f"Final_Test/Images/{number:05d}.ppm", colour(i + number, (50, 60)))
        rows.append(f"{number:05d}.ppm;50;60;5;5;45;55;{k}")
    text(base / "Final_Test/Images/GT-final_test.test.csv", "Filename;Width;Height")
    text(root / "GT-final_test.csv", *rows)
    return root


def dtd(root: Path) -> Path:
    """Two classes, listed in another order than sorted; split 2 is there too."""
    folder, i = root / "dtd", 0
    for split in ("train", "val", "test"):
        for number in (1, 2):
            lines = []
            for name in ("zigzagged", "banded"):
                for _ in range(3 if number == 1 else 1):
                    file = f"{name}/{name}_{i:04d}.jpg"
                    save(folder / "images" / file, colour(i, (90, 70)))
                    lines.append(file)
                    i += 1
            text(folder / f"labels/{split}{number}.txt", *lines)
    return folder


def aircraft(root: Path) -> Path:
    """Three variants, one with a slash and one with a space in its name."""
    folder, i = root / "fgvc-aircraft-2013b" / "data", 1_000_000
    variants = ("Yak-42", "F-16A/B", "DHC 8")
    text(folder / "variants.txt", *variants)
    for split in ("train", "val", "test"):
        lines = []
        for variant in variants:
            for _ in range(2):
                save(folder / f"images/{i}.jpg", colour(i, (100, 80)))
                lines.append(f"{i} {variant}")
                i += 1
        text(folder / f"images_variant_{split}.txt", *lines)
    return folder.parent


def flowers(root: Path, mat: MatWriter) -> Path:
    """Twelve images of the classes 1, 2, 10 and 102 in turn; the first four for training, then validation, test."""
    for i in range(12):
        save(root / f"jpg/image_{i + 1:05d}.jpg", colour(i, (100, 75)))
    mat(root / "imagelabels.mat", {"labels": np.array([[(1, 2, 10, 102)[i % 4] for i in range(12)]], np.uint8)})
    numbers = np.arange(1, 13, dtype=np.uint16)[None]
    mat(root / "setid.mat", {"trnid": numbers[:, :4], "valid": numbers[:, 4:8], "tstid": numbers[:, 8:]})
    return root


def omniglot(root: Path, drawers: int = 20) -> Path:
    """Three characters of two parts, black strokes in another corner for every drawing."""
    characters = ("images_background/Latin/character01", "images_background/Braille/character01")
    for k, character in enumerate((*characters, "images_evaluation/Angelic/character01")):
        for drawer in range(drawers):
            paper = np.full((105, 105, 3), 255, np.uint8)
            paper[5 * drawer : 5 * drawer + 5, 30 * k : 30 * k + 20] = 0
            save(root / character / f"{k:04d}_{drawer + 1:02d}.png", paper, "1")
    return root


def daimler(root: Path, each: int = 10) -> Path:
    """Image i of a folder is the grey 10 i, five more for those without a pedestrian."""
    folder = root / "DC-ped-dataset_base"
    for part in ("1", "2", "3", "T1", "T2"):
        for kind, more in (("ped", 0), ("non-ped", 5)):
            for i in range(each):
                grey = np.full((36, 18, 3), 10 * i + more, np.uint8)
                save(folder / part / f"{kind}_examples" / f"img_{i:05d}.pgm", grey, "L")
    return folder


WNIDS = ("n01440764", "n01443537", "n15075141")


def imagenet12(root: Path, flat: bool = False) -> Path:
    """Three classes of six training images, six validation images: 1 to 6, in folders of their classes or flat."""
    for k, wnid in enumerate(WNIDS):
        for i in range(6):
            save(
                root / f"train/{wnid}/{wnid}_{10 * i + k}.JPEG".replace("JPEG", "jpg"), colour(6 * k + i, (90, 80))
            )
            path = root / f"train/{wnid}/{wnid}_{10 * i + k}.jpg"
            path.rename(path.with_suffix(".JPEG"))
    for number in range(1, 7):
        folder = "" if flat else f"{WNIDS[number % 3]}/"
        path = root / f"val/{folder}ILSVRC2012_val_{number:08d}.jpg"
        save(path, colour(100 + number, (80, 90)))
        path.rename(path.with_suffix(".JPEG"))
    return root


def development_kit(root: Path, mat: MatWriter) -> Path:
    """Write the labels of `imagenet12`'s flat validation images as the kit does; its ids are not sorted."""
    folder = root / "ILSVRC2012_devkit_t12/data"
    ids = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2}
    text(folder / "ILSVRC2012_validation_ground_truth.txt", *(str(ids[WNIDS[n % 3]]) for n in range(1, 7)))
    kind = [("ILSVRC2012_ID", "i4"), ("WNID", "U9")]
    mat(folder / "meta.mat", {"synsets": np.array([[(number, wnid)] for wnid, number in ids.items()], kind)})
    return root


def ucf101(root: Path, frames: int = 5) -> Path:
    """Two classes, four groups of two videos for training, one for test, as folders of frames: a moving square."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for rank, (name, called) in enumerate((("YoYo", "YoYo"), ("HandstandPushups", "HandStandPushups"))):
        for group in range(1, 6):
            for clip in (1, 2):
                video = f"v_{called}_g{group:02d}_c{clip:02d}"
                split = "test" if group == 1 else "train"
                lists[split].append(f"{name}/{video}.avi" + (f" {rank + 1}" if split == "train" else ""))
                for t in range(frames):
                    frame = np.full((24, 32, 3), 60, np.uint8)
                    frame[4 * rank : 4 * rank + 4, 5 * t : 5 * t + 5] = 200 + group * clip
                    save(root / "frames" / name / video / f"frame{9 + t}.png", frame)  # 9, 10, ...: not as strings
    for split, lines in lists.items():
        text(root / f"ucfTrainTestlist/{split}list01.txt", *lines)
        text(root / f"ucfTrainTestlist/{split}list02.txt", *lines[:1])
    return root
