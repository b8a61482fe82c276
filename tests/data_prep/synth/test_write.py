from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from decathlon.cli.data.synth import command
from decathlon.data.domains import SPLITS, Benchmark
from decathlon.data_prep.synth.table import TABLE, SynthDomain
from decathlon.data_prep.synth.write import synthesize
from decathlon.errors import DecathlonError, UsageError
from decathlon.system.files import read_json

SMALL = tuple(dataclasses.replace(synth, train=12, val=4, test=6) for synth in TABLE)
NAMES = [synth.name for synth in TABLE]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "small"
    synthesize(folder, table=SMALL)
    return folder


def annotation(out: Path, name: str, split: str) -> Any:
    return read_json(out / "annotations" / f"{name}_{split}.json")


def digest(synth: SynthDomain, seed: int) -> str:
    total = hashlib.sha256()
    for number in range(4):
        pixels = synth.draw(seed, NAMES.index(synth.name) + 1, "train", number, number % len(synth.classes))
        total.update(repr(pixels.shape).encode() + pixels.tobytes())
    return total.hexdigest()[:16]


# Of the pixels as drawn, before any encoder: the benchmark's identity. A change here makes every measured
# baseline void.
DIGESTS = {
    "blossoms": "6593036b492d6f7d",
    "digits": "737b61c68ffa1cc2",
    "figures": "cd2e0e4e97966525",
    "glyphs": "797781228ee3d4db",
    "motions": "55e99b7d9603fb03",
    "scenes": "5ba3306b5aa753d3",
    "signs": "66bd10b8e22a018b",
    "textures": "995de45a9e68f230",
    "toys": "59d6db9065bd5637",
    "wagons": "6fd02f3b5dbaa364",
}


@pytest.mark.parametrize("synth", TABLE, ids=NAMES)
def test_pixels_are_pinned(synth: SynthDomain) -> None:
    assert digest(synth, 0) == DIGESTS[synth.name]


def test_another_seed_draws_other_pixels() -> None:
    assert all(digest(synth, 1) != DIGESTS[synth.name] for synth in TABLE)


def test_ten_domains_in_alphabetical_order_of_moderate_size() -> None:
    assert sorted(NAMES) == NAMES and len(NAMES) == 10
    assert all(2 <= len(synth.classes) <= 40 and 100 <= synth.train <= 800 for synth in TABLE)
    assert all(len(set(synth.classes)) == len(synth.classes) and synth.test >= 100 for synth in TABLE)
    assert 3000 <= sum(synth.train for synth in TABLE) <= 4500
    assert {synth.crop for synth in TABLE} == {"crop", "squash", "full"}


@pytest.mark.parametrize("synth", TABLE, ids=NAMES)
def test_images_are_72_on_the_shorter_side_and_show_something(synth: SynthDomain) -> None:
    for label in range(len(synth.classes)):
        pixels = synth.draw(0, 1, "val", label, label)
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
        assert min(pixels.shape[:2]) == 72 and max(pixels.shape[:2]) <= 168
        assert pixels.std() > 4
        assert not synth.gray or (pixels == pixels[..., :1]).all()


def test_labels_are_balanced_and_mixed() -> None:
    for index, synth in enumerate(TABLE, start=1):
        labels = synth.labels(0, index, "train")
        counts = np.bincount(labels, minlength=len(synth.classes))
        assert len(labels) == synth.train and counts.max() - counts.min() <= 1
        assert labels != sorted(labels)


def test_files_lie_in_the_official_layout(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "benchmark.json", "data"]
    expected = {f"{name}_{split}.json" for name in NAMES for split in (*SPLITS, "test_stripped")}
    assert {path.name for path in (out / "annotations").iterdir()} == expected
    for synth in SMALL:
        for split in SPLITS:
            content = annotation(out, synth.name, split)
            names = {image["file_name"] for image in content["images"]}
            files = (out / "data" / synth.name / split).rglob("*.jpg")
            assert {path.relative_to(out).as_posix() for path in files} == names
            assert len(names) == synth.count(split)


def test_training_files_lie_in_the_folder_of_their_class(out: Path) -> None:
    content = annotation(out, "glyphs", "train")
    for image, label in zip(content["images"], content["annotations"], strict=True):
        rank, number = label["category_id"] - 40_000_000, image["id"] - 40_000_000
        assert image["file_name"] == f"data/glyphs/train/{rank:04d}/{number:06d}.jpg"


def test_image_ids_run_on_over_the_splits(out: Path) -> None:
    for index, name in enumerate(NAMES, start=1):
        for split, first, count in (("train", 1, 12), ("val", 100_013, 4), ("test", 200_017, 6)):
            content = annotation(out, name, split)
            first += index * 10**7
            identities = list(range(first, first + count))
            assert [image["id"] for image in content["images"]] == identities
            assert [label["image_id"] for label in content["annotations"]] == identities


def test_categories_are_sorted_as_strings(out: Path) -> None:
    categories = annotation(out, "signs", "train")["categories"]
    assert [category["id"] for category in categories] == [70_000_000 + rank for rank in range(1, 17)]
    assert [category["name"] for category in categories][:4] == ["sign1", "sign10", "sign11", "sign12"]
    synth = TABLE[NAMES.index("signs")]
    assert synth.ranks[:3] == (1, 9, 10)


def test_the_stripped_test_has_no_labels(out: Path) -> None:
    for name in NAMES:
        full, stripped = annotation(out, name, "test"), annotation(out, name, "test_stripped")
        assert list(stripped) == ["info", "images", "annotations", "categories", "licenses"]
        assert stripped["annotations"] == [] and len(full["annotations"]) == 6
        assert stripped["images"] == full["images"] and stripped["categories"] == full["categories"]


def test_image_files_hold_the_annotated_size_and_nearly_the_drawn_pixels(out: Path) -> None:
    for index, synth in enumerate(SMALL, start=1):
        entry = annotation(out, synth.name, "test")["images"][0]
        with Image.open(out / entry["file_name"]) as image:
            assert image.format == "JPEG" and image.size == (entry["width"], entry["height"])
            decoded = np.asarray(image.convert("RGB")).astype(int)
        drawn = synth.draw(0, index, "test", 0, synth.labels(0, index, "test")[0]).astype(int)
        assert np.abs(decoded - drawn).mean() < 16


def test_mean_and_std_are_those_of_the_training_pixels(out: Path) -> None:
    benchmark = Benchmark.from_json(read_json(out / "benchmark.json"), "benchmark.json")
    synth, index = SMALL[1], 2
    drawn = [synth.draw(0, index, "train", n, label) for n, label in enumerate(synth.labels(0, index, "train"))]
    pixels = np.concatenate([image.reshape(-1, 3) for image in drawn]) / 255
    np.testing.assert_allclose(benchmark["digits"].mean, pixels.mean(0), atol=1e-6)
    np.testing.assert_allclose(benchmark["digits"].std, pixels.std(0), atol=1e-6)


def test_facts_agree_with_the_annotations(out: Path) -> None:
    benchmark = Benchmark.from_json(read_json(out / "benchmark.json"), "benchmark.json")
    assert benchmark.name == "synth" and benchmark.names == tuple(NAMES)
    for index, domain in enumerate(benchmark, start=1):
        categories = annotation(out, domain.name, "val")["categories"]
        assert domain.index == index
        assert [(c.id, c.name) for c in domain.categories] == [(c["id"], c["name"]) for c in categories]


def test_twice_the_same_bytes(out: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "again", table=SMALL)
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (out, tmp_path / "again")
    )
    assert len(first) == 10 * (22 + 4) + 1 and first == second


def test_another_seed_has_no_baseline(tmp_path: Path) -> None:
    benchmark = synthesize(tmp_path / "seven", seed=7, table=SMALL[:2])
    assert benchmark.name == "synth-seed7" and benchmark.baseline == ""
    assert [domain.baseline_error for domain in benchmark] == [None, None]


def test_the_whole_stays_small(out: Path) -> None:
    mean_size = {
        synth.name: sum(path.stat().st_size for path in (out / "data" / synth.name).rglob("*.jpg")) / 22
        for synth in SMALL
    }
    whole = sum((s.train + s.val + s.test) * mean_size[s.name] for s in TABLE)
    assert whole < 25e6


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already exists"):
        synthesize(tmp_path, table=SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed -1"):
        synthesize(tmp_path / "out", seed=-1, table=SMALL)


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DecathlonError, match="cannot write"):
        synthesize(tmp_path / "file" / "out", table=SMALL)


def test_nothing_stays_behind_when_it_is_interrupted(tmp_path: Path) -> None:
    def stop(domain: SynthDomain) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "out", progress=stop, table=SMALL[:1])
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_of_every_domain_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(out: Path, seed: int, progress: Any) -> Benchmark:
        return synthesize(out, seed, progress, SMALL)

    monkeypatch.setattr("decathlon.data_prep.synth.write.synthesize", small)
    result = CliRunner().invoke(command, [str(tmp_path / "my synth"), "--seed", "3"], catch_exceptions=False)
    assert result.exit_code == 0 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.split()[0] for line in lines] == [*NAMES, "Next:"]
    assert lines[-1].endswith("-o 'my synth.h5'")
    assert read_json(tmp_path / "my synth" / "benchmark.json")["name"] == "synth-seed3"


def test_the_command_refuses_a_negative_seed(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "out"), "--seed", "-1"])
    assert result.exit_code == 2 and not (tmp_path / "out").exists()
