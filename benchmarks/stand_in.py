"""Archives like the challenge's, with the real names, ids, counts and sizes, and images that show nothing."""

from __future__ import annotations

import functools
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decathlon.data.official import OFFICIAL

SPLITS = ("train", "val", "test")
FILES = {"train": "train", "val": "val", "test": "test_stripped"}
DIFFERENT = 8  # images of one size


def write_stand_in(labels: Path, folder: Path, part: float, say: Callable[[str], None]) -> list[Path]:
    """Write the devkit's and the data's archive into a folder; `part` of the images in 0..1."""
    devkit, data = folder / "decathlon-1.0-devkit.tar.gz", folder / "decathlon-1.0-data.tar.gz"
    with (
        tarfile.open(devkit, "w:gz", compresslevel=1) as annotations,
        tarfile.open(data, "w:gz", compresslevel=1) as out,
    ):
        for name in OFFICIAL:
            released = _released(labels, name)
            documents = {split: _annotations(name, released, split, part) for split in SPLITS}
            for split, document in documents.items():
                file = f"decathlon-1.0/annotations/{name}_{FILES[split]}.json"
                _add(annotations, file, json.dumps(document).encode())
            if name != "imagenet12":
                _add(out, f"{name}.tar", _domain_tar(documents))
            say(f"made {name}")
    return [devkit, data]


def _domain_tar(documents: dict[str, dict[str, Any]]) -> bytes:
    """Return the archive of one domain's images."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as images:
        for entry in [entry for document in documents.values() for entry in document["images"]]:
            content = jpeg(entry["width"], entry["height"], entry["id"] % DIFFERENT)
            _add(images, entry["file_name"].removeprefix("data/"), content)
    return inner.getvalue()


def _released(labels: Path, name: str) -> dict[str, Any]:
    with zipfile.ZipFile(labels) as archive:
        member = next(entry for entry in archive.namelist() if entry.endswith(f"{name}_test.json"))
        released: dict[str, Any] = json.loads(archive.read(member))
    return released


def _annotations(name: str, released: dict[str, Any], split: str, part: float) -> dict[str, Any]:
    """Return the released test annotations without labels, or made ones with sizes drawn from them."""
    rest: dict[str, Any] = {"categories": released["categories"], "info": {}, "licenses": []}
    if split == "test":
        kept = released["images"][: max(1, round(part * len(released["images"])))]
        return rest | {"images": kept, "annotations": []}
    if name == "imagenet12":  # none of its images exist: one entry serves as well as a million
        part = 1e-6
    images = list(_images(name, released, split, part))
    categories = [entry["id"] for entry in released["categories"]]
    labelled = [
        {"id": image["id"], "image_id": image["id"], "category_id": categories[i % len(categories)]}
        for i, image in enumerate(images)
    ]
    return rest | {"images": images, "annotations": labelled}


def _images(name: str, released: dict[str, Any], split: str, part: float) -> Iterator[dict[str, Any]]:
    facts, draw = OFFICIAL[name], random.Random(f"{name} {split}")
    first = facts.index * 10**7 + 1 + (100_000 + facts.train if split == "val" else 0)
    for number in range(max(1, round(part * facts.count(split)))):
        like = draw.choice(released["images"])
        folder = f"{number % facts.classes + 1:04d}"
        yield {
            "id": first + number, "width": like["width"], "height": like["height"],
            "file_name": f"data/{name}/{split}/{folder}/{number + 1:06d}.jpg",
        }  # fmt: skip


@functools.cache
def jpeg(width: int, height: int, kind: int) -> bytes:
    """Return a smooth colour image as a JPEG file."""
    shape = height // 12 + 2, width // 12 + 2, 3
    coarse = np.random.default_rng((width, height, kind)).integers(0, 256, shape, np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(out, "JPEG", quality=75)
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
