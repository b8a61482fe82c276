"""The packed file read back: what is damaged is found, and what is there is described."""

from __future__ import annotations

import json
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from decathlon.cli.main import command
from decathlon.data.domains import Benchmark, Category, Domain
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.decoding import Decoded
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.writer import PackWriter
from decathlon.errors import DataError, VerificationError
from tests.helpers.challenge_sources import write_source
from tests.helpers.marks import slow


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A whole packed file of two tiny domains."""
    path = tmp_path / "tiny.h5"
    prepare([write_source(tmp_path / "tiny")], path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["data", *map(str, arguments)])


def test_a_whole_file_has_no_problems(packed: Path) -> None:
    outcome = run("check", packed)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines()[0] == f"{packed} is whole"
    assert outcome.stdout.count(" ok") == 2


@pytest.mark.parametrize("count", [60, slow(300)])
def test_no_flipped_bit_passes_for_other_data(packed: Path, count: int) -> None:
    """Bits that hold nothing may flip unseen; then all data must still be there unchanged."""
    chance = random.Random(0)
    whole = packed.read_bytes()
    used = [i for i in range(len(whole)) if whole[i]]
    found = 0
    for _ in range(count):
        data = bytearray(whole)
        data[chance.choice(used)] ^= 1 << chance.randrange(8)
        packed.write_bytes(data)
        found += bool(problems(packed))
    assert found > 0.95 * count


def test_a_flipped_pixel_is_found_and_named(packed: Path) -> None:
    with h5py.File(packed) as file:
        where = file["boats/train/pixels"].id.get_chunk_info(0).byte_offset
    data = bytearray(packed.read_bytes())
    data[where + 5] ^= 1
    packed.write_bytes(data)
    outcome = run("check", packed)
    assert isinstance(outcome.exception, VerificationError)
    assert outcome.stdout.startswith(f"{packed}:/boats/train/pixels is damaged")
    assert str(outcome.exception) == f"{packed} has 1 problem. Do not train on it."
    with PackedFile(packed) as file, pytest.raises(DataError, match="boats/train/pixels is damaged"):
        file.read("boats", "train")


@pytest.mark.parametrize("length", [0, 100, 5000, -1])
def test_a_cut_file_is_found(packed: Path, length: int) -> None:
    packed.write_bytes(packed.read_bytes()[:length])
    assert isinstance(run("check", packed).exception, VerificationError)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", 3, "apples/train has labels outside its 3 categories"),
        ("label", -2, "apples/train has labels outside its 3 categories"),
        ("height", 1, "apples/train has offsets that do not fit its heights and widths"),
        ("offset", 1, "apples/train has offsets that do not fit its heights and widths"),
        ("image_id", 10200002, "duplicate image id 10200002"),
        ("pixels", 0, "apples/train does not have the digest it was packed with"),
    ],
)
def test_values_written_later_are_found(packed: Path, column: str, value: int, message: str) -> None:
    with h5py.File(packed, "r+") as file:
        file[f"apples/train/{column}"][0] = value
    found = problems(packed)
    assert any(problem.startswith(message) for problem in found)
    assert any("does not have the digest" in problem for problem in found)


def test_a_split_of_other_length_is_found(packed: Path) -> None:
    with h5py.File(packed, "r+") as file:
        del file["apples/val/label"]
        file.create_dataset("apples/val/label", data=np.zeros(2, np.int32), chunks=(2,), fletcher32=True)
    (found,) = problems(packed)
    assert found.startswith(f"{packed}:/apples/val/label is damaged (its length is not that of image_id)")


def test_a_lost_split_is_found(packed: Path) -> None:
    with h5py.File(packed, "r+") as file:
        del file["apples/val"]
    assert problems(packed) == [f"{packed} does not have the digest it was packed with. Prepare it again."]


@pytest.mark.parametrize("attribute", ["digest", "complete", "format", "version"])
def test_a_lost_attribute_is_found(packed: Path, attribute: str) -> None:
    with h5py.File(packed, "r+") as file:
        del file.attrs[attribute]
    assert len(problems(packed)) == 1


def test_there_must_be_a_file(tmp_path: Path) -> None:
    outcome = run("check", tmp_path / "none.h5")
    assert isinstance(outcome.exception, DataError)
    make = "decathlon data prepare SOURCE -o FILE.h5"
    assert f"no such file. Make it with '{make}'" in str(outcome.exception)


def test_official_domains_must_have_the_official_counts(tmp_path: Path) -> None:
    categories = tuple(Category(40000001 + k, str(k)) for k in range(47))
    half = (0.5, 0.5, 0.5)
    with PackWriter(tmp_path / "a.h5") as writer:
        for split, first, count in (("train", 40000001, 1879), ("test", 40200001, 1880)):
            out = writer.split("dtd", split, count * 3)
            out.append(Decoded(bytes(3 * count), np.ones(count, np.uint16), np.ones(count, np.uint16)))
            out.close(np.zeros(count, np.int32), np.arange(first, first + count))
        writer.finish(Benchmark("one", (Domain("dtd", 4, categories, half, half),)))
    assert problems(tmp_path / "a.h5") == ["dtd/train has 1,879 images, the official one has 1,880."]


def test_info_describes_every_domain(packed: Path) -> None:
    told = json.loads(run("info", packed, "--json").stdout)
    assert (told["name"], told["images"], list(told["domains"])) == ("tiny", 18, ["apples", "boats"])
    apples = told["domains"]["apples"]
    assert (apples["classes"], apples["train"], apples["val"], apples["test"]) == (3, 6, 3, 4)
    assert (apples["labelled"], apples["width"], apples["height"]) == (["train", "val"], [6, 9], [5, 10])
    assert (told["domains"]["boats"]["val"], told["domains"]["boats"]["baseline_error"]) == (0, None)
    lines = run("info", packed).stdout.splitlines()
    assert lines[3].split()[:5] == ["apples", "3", "6", "3", "4"]
    assert "6-9 x 5-10" in lines[3]
    assert lines[-1] == f"digest {told['digest']}"


def test_stats_measures_what_the_file_holds(packed: Path) -> None:
    told = json.loads(run("stats", packed, "--json").stdout)
    for entry in told["domains"].values():
        assert entry["split"] == "train"
        assert (entry["mean"], entry["std"]) == (entry["stored_mean"], entry["stored_std"])
    assert "train, measured" in run("stats", packed).stdout


def test_moments_do_not_depend_on_the_blocks() -> None:
    values = np.random.default_rng(0).integers(0, 256, 3 * 700_001, dtype=np.uint8)
    whole, parts = Moments(), Moments()
    whole.add(values)
    for part in np.split(values, [3, 3 * 1024, 3 * 500_000]):
        parts.add(part)
    assert (whole.mean, whole.std) == (parts.mean, parts.std)
    np.testing.assert_allclose(whole.mean, values.reshape(-1, 3).mean(axis=0) / 255, rtol=1e-12)
    np.testing.assert_allclose(whole.std, values.reshape(-1, 3).std(axis=0) / 255, rtol=1e-12)
