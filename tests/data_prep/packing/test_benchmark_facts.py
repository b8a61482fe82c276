"""A benchmark's facts: its own, the published ones, or measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decathlon.data.domains import Benchmark, Category, Domain
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError
from decathlon.system.strict_json import dump_json
from tests.helpers.challenge_sources import NAMES, annotation_file, write_domain


def test_statistics_are_measured_over_train(source: Path, output: Path) -> None:
    prepare([source], output)
    with PackedFile(output) as file:
        values = file.read("apples", "train").pixels.reshape(-1, 3) / 255
        apples, boats = file.benchmark
    np.testing.assert_allclose(apples.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(apples.std, values.std(axis=0), rtol=1e-12)
    assert (apples.flip, apples.crop, apples.baseline_error, boats.index) == (True, "crop", None, 12)


def test_constant_images_leave_a_deviation_to_divide_by(tmp_path: Path, output: Path) -> None:
    write_domain(tmp_path / "s", "apples", 1, {"train": 1})
    Image.new("RGB", (4, 4), (255, 0, 51)).save(tmp_path / "s/data/apples/train/000001.png")
    prepare([tmp_path / "s"], output)
    with PackedFile(output) as file:
        assert file.benchmark["apples"].mean == (1, 0, 0.2)
        assert file.benchmark["apples"].std == pytest.approx((1 / 255,) * 3)


def test_a_sibling_under_an_official_name_gets_its_cut_but_no_baseline(tmp_path: Path, output: Path) -> None:
    write_domain(tmp_path / "siblings", "svhn", 8)
    write_domain(tmp_path / "siblings", "daimlerpedcls", 3, {"train": 2})
    prepare([tmp_path / "siblings"], output)
    with PackedFile(output) as file:
        pedestrians, svhn = file.benchmark
        assert (file.benchmark.name, file.benchmark.baseline) == ("siblings", "")
    assert (svhn.flip, pedestrians.crop) == (False, "squash")
    assert svhn.mean != OFFICIAL["svhn"].mean
    assert svhn.baseline_error is pedestrians.baseline_error is None


def official(root: Path, name: str, **counts: int) -> Path:
    """Write a domain with the official numbers of classes and images, all of one file."""
    fact = OFFICIAL[name]
    (root / "annotations").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(root / "a.png")
    first = fact.index * 10**7 + 1
    categories = [{"id": first + k, "name": str(k)} for k in range(fact.classes)]
    for split, count in counts.items():
        ids = range(fact.index * 10**7 + 10**5 * len(split), fact.index * 10**7 + 10**5 * len(split) + count)
        images = [{"id": i, "file_name": "a.png"} for i in ids]
        told: dict[str, Any] = {"images": images, "categories": categories}
        if split != "test":
            told["annotations"] = [{"image_id": i, "category_id": first} for i in ids]
        annotation_file(root, name, split).write_text(json.dumps(told))
    return root


def test_an_official_domain_gets_the_published_facts(tmp_path: Path, output: Path) -> None:
    lines: list[str] = []
    prepare([official(tmp_path / "s", "dtd", train=7, test=1880)], output, PackOptions(say=lines.append))
    with PackedFile(output) as file:
        assert (file.benchmark.name, file.benchmark.baseline[:8]) == ("visual-decathlon", "Finetune")
        assert file.benchmark["dtd"].mean == OFFICIAL["dtd"].mean
        assert file.benchmark["dtd"].baseline_error == 0.4447
    assert "Warning: dtd/train has 7 images, the official one has 1,880." in lines


def test_without_test_images_the_others_decide_what_is_official(tmp_path: Path) -> None:
    for name, train, error in (("whole", 1880, 0.4447), ("part", 1879, None)):
        prepare([official(tmp_path / name, "dtd", train=train)], tmp_path / f"{name}.h5")
        with PackedFile(tmp_path / f"{name}.h5") as file:
            assert file.benchmark["dtd"].baseline_error == error


def facts(categories: tuple[str, ...] = NAMES, rank: int = 1) -> dict[str, Any]:
    """A benchmark.json for the tiny source, with a domain that the source lacks."""
    mine = tuple(Category(10000001 + k, name) for k, name in enumerate(categories))
    boats, cars = (
        tuple(Category(index * 10**7 + 1 + k, name) for k, name in enumerate(NAMES)) for index in (12, 3)
    )
    half = (0.5, 0.5, 0.5)
    domains = (
        Domain("boats", 12, boats, half, half),
        Domain("cars", 3, cars, half, half),
        Domain("apples", rank, mine, (0.1, 0.2, 0.3), half, flip=False, crop="full", baseline_error=0.25),
    )
    return Benchmark("fruit", domains, "measured by hand").to_json()


def test_the_facts_beside_the_source_are_kept(source: Path, output: Path) -> None:
    (source / "benchmark.json").write_text(dump_json(facts()))
    prepare([source], output)
    with PackedFile(output) as file:
        benchmark = file.benchmark
    assert (benchmark.name, benchmark.baseline, benchmark.names) == (
        "fruit",
        "measured by hand",
        ("boats", "apples"),
    )
    apples = benchmark["apples"]
    assert (apples.mean, apples.flip, apples.crop, apples.baseline_error) == ((0.1, 0.2, 0.3), False, "full", 0.25)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (facts(("1", "2", "10")), "benchmark.json: the categories of apples differ from its annotations"),
        (facts(rank=2), "benchmark.json: apples has index 2, its ids have 1"),
        ({**facts(), "domains": facts()["domains"][:2]}, "benchmark.json has no domain apples"),
        ({**facts(), "domains": []}, "benchmark.json does not describe a benchmark .domains is empty"),
        ({}, "benchmark.json does not describe a benchmark"),
    ],
)
def test_facts_that_contradict_the_annotations_are_refused(
    source: Path, output: Path, told: dict[str, Any], message: str
) -> None:
    (source / "benchmark.json").write_text(dump_json(told))
    with pytest.raises(DataError, match=message):
        prepare([source], output)
    assert not output.parent.exists()
