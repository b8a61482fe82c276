"""Annotations and facts of a source, mutated: `decathlon data prepare` refuses them or packs what they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.check import problems
from tests.helpers.challenge_sources import SUFFIX, annotation_file, write_source
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.mutations import mutate

PACKED = "packed what it says"


def prepared(source: Path, output: Path) -> None:
    """Run `decathlon data prepare`; raise what it raises."""
    words = ["data", "prepare", str(source), "-o", str(output), "--force"]
    error = CliRunner().invoke(command, words).exception
    if error:
        raise error


def changed(whole: Any, seed: int | None) -> bytes:
    return json.dumps(whole).encode() if seed is None else mutate(whole, seed)


def said_by(file: Path) -> dict[int, int]:
    """Return the category of every image in an annotation file, -1 where it has no labels."""
    told = json.loads(file.read_bytes())
    labels = {entry["image_id"]: entry["category_id"] for entry in told.get("annotations", [])}
    return {entry["id"]: labels.get(entry["id"], -1) for entry in told["images"]}


def held_by(output: Path, split: str) -> dict[int, int]:
    """Return the category of every image of a split in the packed file, -1 where it is unknown."""
    assert problems(output) == []
    with PackedFile(output) as file:
        ids = (*file.benchmark["apples"].category_ids, -1)
        read = file.read("apples", split)
        return {image: ids[label] for image, label in zip(read.image_id.tolist(), read.label.tolist(), strict=True)}


@pytest.mark.parametrize("count", [15, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("split", SUFFIX)
def test_mutated_annotations_are_refused_or_packed(tmp_path: Path, split: str, count: int) -> None:
    source, output = write_source(tmp_path / "source"), tmp_path / "x.h5"
    file = annotation_file(source, "apples", split)
    whole = json.loads(file.read_text())

    def use(seed: int | None) -> str:
        file.write_bytes(changed(whole, seed))
        output.unlink(missing_ok=True)

        def packed() -> str:
            prepared(source, output)
            return PACKED if held_by(output, split) == said_by(file) else "packed something else"

        return judged(packed)

    came = forked([*range(count), None], use)
    assert came.words[-1] == PACKED  # the negative control: nothing changed
    assert came.counts.keys() <= {REFUSED, PACKED} and came.counts[REFUSED] > count / 2
    assert came.slowest < 5 and came.memory < 300 << 20
    assert not list(tmp_path.glob(".*"))  # nothing half written stays


@pytest.mark.parametrize("count", [15, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_facts_are_refused_or_packed(tmp_path: Path, count: int) -> None:
    source, output = write_source(tmp_path / "source"), tmp_path / "x.h5"
    prepared(source, output)
    with PackedFile(output) as packed_file:
        whole = json.loads(json.dumps(packed_file.benchmark.to_json()))
    file = source / "benchmark.json"

    def use(seed: int | None) -> str:
        file.write_bytes(changed(whole, seed))
        output.unlink()

        def packed() -> str:
            prepared(source, output)
            with PackedFile(output) as found:
                same = agree(json.loads(json.dumps(found.benchmark.to_json())), json.loads(file.read_bytes()))
            return PACKED if same and not problems(output) else "packed something else"

        word = judged(packed)
        shutil.copy(keep, output)
        return word

    keep = shutil.copy(output, tmp_path / "keep.h5")
    came = forked([*range(count), None], use)
    assert came.words[-1] == PACKED  # the negative control: nothing changed
    assert came.counts.keys() <= {REFUSED, PACKED} and came.counts[REFUSED] > count / 2
    assert came.slowest < 5 and came.memory < 300 << 20


def agree(packed: dict[str, Any], told: dict[str, Any]) -> bool:
    """Say whether every entry that both have is the same, and all domains that were packed were told of."""
    domains = {domain["name"]: domain for domain in told["domains"]}
    return packed["name"] == told["name"] and all(
        domains[domain["name"]].get(key, value) == value
        for domain in packed["domains"]
        for key, value in domain.items()
    )
