"""Small data sets of one's own, in every form that can be added, with the pixels that were written."""

from __future__ import annotations

import csv
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from decathlon.data.packed_file import PackedFile
from tests.helpers.challenge_sources import png

Pixels = npt.NDArray[np.uint8]


def pixels(number: int, height: int = 5, width: int = 7) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (height + number % 3, width, 3), dtype=np.uint8)


def write_tree(root: Path, names: Iterable[str]) -> dict[str, Pixels]:
    """Write an image under every name, each of its own pixels; return them by name."""
    written = {}
    for number, name in enumerate(names):
        written[name] = pixels(number)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(written[name]).save(root / name)
    return written


def numbered(classes: Mapping[str, int], ending: str = "png") -> list[str]:
    """Return names of so many images of every class."""
    return [f"{label}/{i:03d}.{ending}" for label, count in classes.items() for i in range(count)]


def write_table(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ("path", "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_coco(path: Path, labels: Mapping[str, Sequence[str]], classes: Sequence[str]) -> Path:
    """Write an annotation of images with any number of categories each; ids are no ranks, as in COCO."""
    ids = {name: 7 * i + 3 for i, name in enumerate(classes)}
    shown = [(i, label) for i, found in enumerate(labels.values()) for label in found]
    document = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(labels)],
        "annotations": [{"id": k, "image_id": i, "category_id": ids[label]} for k, (i, label) in enumerate(shown)],
        "categories": [{"id": i, "name": name} for name, i in ids.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@dataclass
class FakeClassLabel:
    names: list[str]


@dataclass
class FakeImage:
    decode: bool = True


@dataclass
class FakeData:
    """As much of `datasets.Dataset` as is read, of `datasets` 5.2."""

    features: dict[str, Any]
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        return {name: values[key] for name, values in self.columns.items()}

    def cast_column(self, name: str, feature: FakeImage) -> FakeData:
        return FakeData({**self.features, name: feature}, self.columns)


def fake_data(images: Sequence[Pixels], labels: Sequence[Any], classes: Sequence[str] | None) -> FakeData:
    kind = {"image": FakeImage(), "label": FakeClassLabel(list(classes)) if classes else "string"}
    return FakeData(kind, {"image": [{"bytes": png(one), "path": None} for one in images], "label": list(labels)})


def save_fake(monkeypatch: pytest.MonkeyPatch, folder: Path, saved: Any) -> Path:
    """Let a stand-in for the package `datasets` find `saved` in a folder."""

    def load(path: str) -> Any:
        assert path == str(folder)
        if isinstance(saved, Exception):
            raise saved
        return saved

    fake = types.ModuleType("datasets")
    fake.__dict__.update(load_from_disk=load, Image=FakeImage, ClassLabel=FakeClassLabel)
    monkeypatch.setitem(__import__("sys").modules, "datasets", fake)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_info.json").write_text("{}")
    return folder


def packed(file: Path, domain: str, truth: Path) -> dict[tuple[str, bytes], str]:
    """Return the class of every packed image by its split and pixels, that of test images as the truth has it."""
    answers = {}
    if truth.exists():
        answers = {a["image_id"]: a["category_id"] for a in json.loads(truth.read_text())["annotations"]}
    found = {}
    with PackedFile(file) as opened:
        categories = opened.benchmark[domain].categories
        names = {category.id: category.name for category in categories}
        for split in opened.splits(domain):
            data = opened.read(domain, split)
            for i in range(len(data)):
                label, image = int(data.label[i]), data.image(i)
                id_ = answers[int(data.image_id[i])] if split == "test" else categories[label].id
                assert (label == -1) == (split == "test")
                found[split, repr(image.shape).encode() + image.tobytes()] = names[id_]
    return found


def key(image: Pixels) -> bytes:
    return repr(image.shape).encode() + image.tobytes()
