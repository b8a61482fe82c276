"""Write the synthetic benchmark as image files and annotations, in the official layout."""

import importlib.resources
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decathlon.data.domains import SPLITS, Benchmark, Category, Domain
from decathlon.data_prep.packing.pixel_statistics import Channels, Moments
from decathlon.data_prep.synth.canvas import Pixels
from decathlon.data_prep.synth.table import TABLE, SynthDomain
from decathlon.errors import UsageError
from decathlon.system.files import appearing, write_json
from decathlon.system.strict_json import parse_json

_QUALITY = 85

Progress = Callable[[SynthDomain], None]


def synthesize(
    out: str | Path, seed: int = 0, progress: Progress = lambda domain: None, table: tuple[SynthDomain, ...] = TABLE
) -> Benchmark:
    """Make the synthetic benchmark in the new folder `out` and return its facts.

    `out` appears when it is complete. `progress` is called with every domain once it is written. The pixels drawn
    are the same on every machine; file bytes, and pixels decoded from them, are the same for one Pillow version.
    Another seed draws other images of the same classes: the baseline errors, measured on seed 0, are then None.

    Raises UsageError if `out` exists or the seed is negative, DecathlonError if it cannot be written.
    """
    if seed < 0:
        raise UsageError(f"the seed {seed} is negative. Choose 0 or above.")
    with appearing(Path(out)) as root:
        return _write_benchmark(root, seed, _facts(seed), progress, table)


def _write_benchmark(
    root: Path, seed: int, facts: dict[str, Any], progress: Progress, table: tuple[SynthDomain, ...]
) -> Benchmark:
    (root / "annotations").mkdir()
    domains = []
    for index, synth in enumerate(table, start=1):
        mean, std = _write_domain(root, synth, index, seed)
        error = facts["errors"].get(synth.name)
        categories = _categories(synth, index)
        domains.append(Domain(synth.name, index, categories, mean, std, synth.flip, synth.crop, error))
        progress(synth)
    name = "synth" if seed == 0 else f"synth-seed{seed}"
    benchmark = Benchmark(name, tuple(domains), facts["baseline"])
    write_json(root / "benchmark.json", benchmark.to_json())
    return benchmark


def _facts(seed: int) -> dict[str, Any]:
    """Return the measured baseline: errors by domain and a text on how they were measured."""
    if seed != 0:
        return {"errors": {}, "baseline": ""}
    source = importlib.resources.files("decathlon.data_prep.synth") / "synth.json"
    facts = parse_json(source.read_bytes(), "synth.json")
    assert isinstance(facts, dict)
    return facts


def _categories(synth: SynthDomain, index: int) -> tuple[Category, ...]:
    ranked = enumerate(sorted(synth.classes), start=1)
    return tuple(Category(index * 10**7 + rank, name) for rank, name in ranked)


def _write_domain(root: Path, synth: SynthDomain, index: int, seed: int) -> tuple[Channels, Channels]:
    """Write a domain's images and annotations; return mean and deviation of the training pixels."""
    moments = Moments()
    before = 0
    for split in SPLITS:
        base = index * 10**7 + SPLITS.index(split) * 10**5 + before
        images, annotations = [], []
        for number, label in enumerate(synth.labels(seed, index, split)):
            pixels = synth.draw(seed, index, split, number, label)
            rank = synth.ranks[label]
            folder = "test" if split == "test" else f"{split}/{rank:04d}"
            name = f"data/{synth.name}/{folder}/{number + 1:06d}.jpg"
            _save(root / name, pixels, synth.gray)
            identity = base + number + 1
            images.append(_image(identity, pixels, name))
            annotations.append(_annotation(identity, index * 10**7 + rank))
            if split == "train":
                moments.add(np.ascontiguousarray(pixels).reshape(-1))
        before += len(images)
        _annotate(root, synth, index, split, seed, images, annotations)
    return _rounded(moments.mean), _rounded(moments.std)


def _rounded(channels: Channels) -> Channels:
    """Return values to six digits, as in benchmark.json."""
    red, green, blue = (round(value, 6) for value in channels)
    return red, green, blue


def _save(path: Path, pixels: Pixels, gray: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if gray else pixels)
    image.save(path, "JPEG", quality=_QUALITY)


def _image(identity: int, pixels: Pixels, name: str) -> dict[str, Any]:
    return {"id": identity, "width": pixels.shape[1], "height": pixels.shape[0], "file_name": name}


def _annotation(identity: int, category: int) -> dict[str, Any]:
    empty: dict[str, Any] = {"segmentation": [], "area": 0, "bbox": [], "iscrowd": 0}
    return {"id": identity, "image_id": identity, "category_id": category, **empty}


def _annotate(
    root: Path, synth: SynthDomain, index: int, split: str, seed: int, images: list[Any], annotations: list[Any]
) -> None:
    categories = [
        {"id": category.id, "name": category.name, "supercategory": synth.name}
        for category in _categories(synth, index)
    ]
    content = {
        "info": {"description": f"synthetic domain {synth.name}, {split}, seed {seed}", "version": 1},
        "images": images,
        "annotations": annotations,
        "categories": categories,
        "licenses": [],
    }
    folder = root / "annotations"
    (folder / f"{synth.name}_{split}.json").write_text(json.dumps(content), encoding="utf-8")
    if split == "test":
        stripped = json.dumps({**content, "annotations": []})
        (folder / f"{synth.name}_test_stripped.json").write_text(stripped, encoding="utf-8")
