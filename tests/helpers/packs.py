"""A tiny packed file of colour patches: domains of unequal size, class count and shape, quick to learn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from decathlon.data.domains import Benchmark, Category, CropPolicy, Domain
from decathlon.data.packed_format import COLUMNS, PackedSplit, fixed
from decathlon.data.packed_structure import CHUNK
from decathlon.data_prep.packing.decoding import Decoded
from decathlon.data_prep.packing.writer import PackWriter
from decathlon.system.checksums import combine
from decathlon.system.files import write_json

COUNTS = {"train": 24, "val": 9, "test": 12}


def tiny_domain(
    name: str, index: int, classes: int, flip: bool = True, crop: CropPolicy = "crop", error: float | None = None
) -> Domain:
    categories = tuple(Category(index * 10**7 + k, f"{name}-{k}") for k in range(1, classes + 1))
    return Domain(name, index, categories, (0.5, 0.45, 0.4), (0.25, 0.25, 0.25), flip, crop, error)


TINY = Benchmark(
    "tiny",
    (
        tiny_domain("apples", 1, 2, error=0.2),
        tiny_domain("boats", 2, 5, flip=False, error=0.3),
        tiny_domain("towers", 3, 3, crop="squash", error=0.1),
    ),
)


def patch(domain: Domain, label: int, number: int) -> npt.NDArray[np.uint8]:
    """Return noise around a colour of the class; widths differ from image to image."""
    rng = np.random.Generator(np.random.PCG64([domain.index, label, number]))
    height, width = (72, 36) if domain.crop == "squash" else (36, 36 + 4 * (number % 4))
    colour = np.random.Generator(np.random.PCG64([domain.index, label])).integers(40, 216, 3)
    noisy = colour + rng.normal(0, 25, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def write_truth(folder: Path, benchmark: Benchmark = TINY, counts: dict[str, int] = COUNTS) -> Path:
    """Write the annotations of the test images of `write_pack`."""
    for domain in benchmark:
        before = domain.index * 10**7 + 1 + counts["train"] + counts["val"]
        ids = domain.category_ids
        document = {
            "images": [{"id": before + i} for i in range(counts["test"])],
            "annotations": [
                {"image_id": before + i, "category_id": ids[i % len(ids)]} for i in range(counts["test"])
            ],
            "categories": [{"id": category} for category in ids],
        }
        write_json(folder / f"{domain.name}_test.json", document)
    return folder


def write_pack(path: Path, benchmark: Benchmark = TINY, counts: dict[str, int] = COUNTS) -> Path:
    """Write a packed file with `counts` images a split for every domain; test images have no labels."""
    with PackWriter(path) as writer:
        for domain in benchmark:
            running = 0
            for split, count in counts.items():
                labels = np.arange(count, dtype=np.int32) % len(domain.categories)
                images = [patch(domain, label, running + i) for i, label in enumerate(labels.tolist())]
                ids = domain.index * 10**7 + 1 + running + np.arange(count, dtype=np.int64)
                running += count
                pixels = b"".join(image.tobytes() for image in images)
                height, width = (np.array([image.shape[axis] for image in images], np.uint16) for axis in (0, 1))
                target = writer.split(domain.name, split, len(pixels))
                target.append(Decoded(pixels, height, width))
                target.close(np.full_like(labels, -1) if split == "test" else labels, ids)
        writer.finish(benchmark)
    return path


def put_facts(path: Path, text: bytes, seal: bool = True) -> None:
    """Put other facts in the place of a file's own; with `seal` as if they had been written so."""
    with h5py.File(path, "r+") as file:
        names = [f"{domain}/{split}" for domain in file if domain != "benchmark" for split in file[domain]]
        digests = {name: file[name].attrs["digest"].decode() for name in names}
        del file["benchmark"]
        values = np.frombuffer(text, np.uint8)
        file.create_dataset("benchmark", data=values, chunks=(max(1, min(len(text), CHUNK)),), fletcher32=True)
        if seal:
            file.attrs["digest"] = fixed(combine({**digests, "benchmark": hashlib.sha256(text).hexdigest()}))


def digest_columns(split: PackedSplit) -> str:
    """Return the digest of a split held in memory; equal to that of a streaming writer."""
    return combine({c: hashlib.sha256(np.ascontiguousarray(getattr(split, c)).data).hexdigest() for c in COLUMNS})
