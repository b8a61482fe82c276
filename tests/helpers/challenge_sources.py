"""A tiny source in the official layout, to be packed as it is or spoilt first."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decathlon.data_prep.challenge.layout import Folder, Source

COUNTS = {"train": 6, "val": 3, "test": 4}
SUFFIX = {"train": "train", "val": "val", "test": "test_stripped"}
# Sorted as strings, as the official ones are: the tenth class stands before the second.
NAMES = ("1", "10", "2")


def write_domain(root: Path, name: str, index: int, counts: Mapping[str, int] = COUNTS) -> None:
    """Write one domain of random ragged images; label of image i of a labelled split is i modulo 3."""
    random = np.random.default_rng(index)
    image_id = index * 10**7 + 200_000
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        images, annotations = [], []
        for i in range(count):
            image_id += 1
            file = f"data/{name}/{split}/{i + 1:06d}.png"
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (5 + i, 9 - i % 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / file)
            images.append({"id": image_id, "file_name": file})
            annotations.append({"image_id": image_id, "category_id": index * 10**7 + 1 + i % 3})
        categories = [{"id": index * 10**7 + 1 + k, "name": label} for k, label in enumerate(NAMES)]
        told: dict[str, Any] = {"images": images, "categories": categories[::-1]}
        if split != "test":
            told["annotations"] = annotations[::-1]
        annotation_file(root, name, split).write_text(json.dumps(told))


def write_source(root: Path) -> Path:
    """Write two domains, `boats` without a val split."""
    write_domain(root, "apples", 1)
    write_domain(root, "boats", 12, {"train": 3, "test": 2})
    return root


def annotation_file(root: Path, name: str, split: str) -> Path:
    return root / "annotations" / f"{name}_{SUFFIX[split]}.json"


def opened(root: Path) -> Source:
    return Source("tiny", (Folder(root),))


def png(pixels: Any, mode: str | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image.convert(mode) if mode else image).save(out, "PNG", **options)
    return out.getvalue()


def archive(folder: Path, path: Path, top: str = ".") -> Path:
    """Archive a folder as `tar -C folder -c .` would, or under a folder `top`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as tar:
        tar.add(folder, top)
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"x") -> bytes:
    """One member as it stands in an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    data = content if kind == tarfile.REGTYPE else b""
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
