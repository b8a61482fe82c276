"""A packed file in which bits flipped, or facts and attributes were changed, is refused or holds what it held."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.domains import Benchmark
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.check import problems
from decathlon.errors import DataError, DecathlonError
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import slow
from tests.helpers.mutations import mutate
from tests.helpers.packs import put_facts, tiny_domain, write_pack

EQUAL = "equal"


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed file of ten domains: HDF5 keeps so many names in another structure than a few."""
    benchmark = Benchmark("dense", tuple(tiny_domain(f"d{i}", i, 2) for i in range(1, 11)))
    return write_pack(tmp_path_factory.mktemp("dense") / "dense.h5", benchmark, {"train": 2, "val": 1, "test": 1})


def held(path: Path) -> str:
    """Return the SHA-256 of all that training and predicting read."""
    told = hashlib.sha256()
    with PackedFile(path) as file:
        told.update(repr((file.benchmark, file.digest)).encode())
        for domain in file.benchmark:
            for split in file.splits(domain.name):
                pool = load_pool(file, domain, (split,), 16, 18)
                parts = pool.pixels, pool.height, pool.width, pool.labels
                told.update(b"".join(part.numpy().tobytes() for part in parts))
                told.update(repr((domain.name, split, pool.image_ids)).encode())
    return told.hexdigest()


def chunks(path: Path) -> list[range]:
    """Return the places of all checksummed values in the file."""
    found: list[range] = []

    def visit(name: str, entry: Any) -> None:
        for i in range(entry.id.get_num_chunks() if isinstance(entry, h5py.Dataset) else 0):
            info = entry.id.get_chunk_info(i)
            found.append(range(info.byte_offset, info.byte_offset + info.size))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def outside(path: Path) -> list[int]:
    """Return the places of superblock, headers, attributes, indices and names, and of what holds nothing."""
    inside = {place for chunk in chunks(path) for place in chunk}
    return [place for place in range(path.stat().st_size) if place not in inside]


def used(path: Path) -> list[int]:
    whole = path.read_bytes()
    return [place for place in outside(path) if whole[place]]


PLACES: dict[str, Callable[[Path], list[int]]] = {
    "anywhere": lambda path: list(range(path.stat().st_size)),
    "structures": outside,
    "structures-not-zero": used,
    "facts": lambda path: [place for chunk in chunks(path) for place in chunk if len(chunk) < 3000],
}


@pytest.mark.parametrize("count", [4, slow(300)])
@pytest.mark.parametrize(
    ("source", "places"), [*(("tiny", name) for name in PLACES), ("dense", "structures-not-zero")]
)
def test_no_flipped_bit_is_used(
    request: pytest.FixtureRequest, tmp_path: Path, source: str, places: str, count: int
) -> None:
    file, path = request.getfixturevalue(source), tmp_path / "x.h5"
    whole, before, where = file.read_bytes(), held(file), PLACES[places](file)

    def use(seed: int) -> str:
        chance, data = random.Random(seed), bytearray(whole)
        data[chance.choice(where)] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        found = judged(lambda: EQUAL if held(path) == before else "other data were read")
        assert bool(problems(path)) == (found == REFUSED), "training and 'data check' do not agree"
        return found

    came = forked(range(count), use)
    assert came.counts.keys() <= {REFUSED, EQUAL}
    assert came.counts[EQUAL] <= count / 20  # bytes that hold nothing
    assert came.slowest < 5 and came.memory < 200 << 20


@pytest.mark.parametrize("count", [4, slow(300)])
def test_a_cut_file_is_never_used(tiny: Path, tmp_path: Path, count: int) -> None:
    path, whole = tmp_path / "x.h5", tiny.read_bytes()

    def use(seed: int) -> str:
        path.write_bytes(whole[: random.Random(seed).randrange(len(whole))])
        return judged(lambda: held(path))

    assert forked(range(count), use).counts == {REFUSED: count}


@pytest.mark.parametrize("count", [10, slow(500)])
@pytest.mark.parametrize("seal", [False, True])
def test_mutated_facts_are_refused_or_sound(tiny: Path, tmp_path: Path, seal: bool, count: int) -> None:
    with PackedFile(tiny) as file:
        facts = file.benchmark.to_json()
    path = tmp_path / "x.h5"

    def use(seed: int) -> str:
        shutil.copy(tiny, path)
        put_facts(path, mutate(facts, seed), seal)
        found = judged(lambda: "used" if held(path) else "")
        for name in ("check", "info", "stats"):
            error = CliRunner().invoke(command, ["data", name, str(path)]).exception
            assert error is None or isinstance(error, DecathlonError) and error.exit_code in (3, 4), error
            assert name == "check" or (error is None) == (found == "used")
        return found

    came = forked(range(count), use)
    assert came.counts[REFUSED] == count if not seal else came.counts[REFUSED] > 0.8 * count
    assert came.memory < 200 << 20


ODD = (
    0, -1, 2**63 - 1, 1.5, float("nan"), True, "", "x", "ü", "a" * 5000, np.zeros(3), np.zeros(0), [1, 2],
    ["a", "b"], np.bytes_(b"\xff"), np.void(b"\0\1"), h5py.Empty("i4"), h5py.Empty("S4"),
)  # fmt: skip


@pytest.mark.parametrize("holder", ["/", "apples/train", "towers/test"])
def test_odd_attributes_are_refused(tiny: Path, tmp_path: Path, holder: str) -> None:
    with h5py.File(tiny) as file:
        names = list(file[holder].attrs)
    path = tmp_path / "x.h5"

    def use(case: tuple[str, Any]) -> str:
        name, value = case
        shutil.copy(tiny, path)
        with h5py.File(path, "r+") as file:
            del file[holder].attrs[name]
            if value is not None:
                file[holder].attrs[name] = value
        return judged(lambda: held(path) and f"{name} = {value!r} was used")

    cases = [(name, value) for name in names for value in (None, *ODD) if name != "complete" or value is not True]
    # without `columns` it is a file of an earlier release
    cases = [(name, value) for name, value in cases if (name, value is None) != ("columns", True)]
    assert forked(cases, use).counts == {REFUSED: len(cases)}


@pytest.mark.parametrize("column", ["pixels", "offset", "height", "label", "image_id"])
@pytest.mark.parametrize(
    "values",
    [np.zeros(24), np.zeros((24, 1), np.int64), np.int64(1), np.zeros(0, np.uint8), np.zeros(23, np.int32), "group",
     "huge", np.array(["a"] * 24, h5py.string_dtype())],
)  # fmt: skip
def test_odd_columns_are_refused(tiny: Path, tmp_path: Path, column: str, values: Any) -> None:
    path, name = tmp_path / "x.h5", f"apples/train/{column}"
    shutil.copy(tiny, path)
    with h5py.File(path, "r+") as file:
        kind = file[name].dtype
        del file[name]
        if isinstance(values, str) and values == "group":
            file.create_group(name)
        elif isinstance(values, str):
            file.create_dataset(name, (1 << 45,), kind, chunks=(1 << 20,), fletcher32=True)  # takes no place
        else:
            file[name] = values
    with pytest.raises(DataError, match=f"/apples/train/{column} is damaged|/apples/train/.* is damaged"):
        held(path)
    assert problems(path)


def test_what_does_not_fit_is_refused_before_training(tiny: Path, tmp_path: Path) -> None:
    wrong = (
        ("label", 2, "labels outside the 2 categories"),
        ("label", -2, "labels outside"),
        ("height", 1, "it does not fit heights and widths"),
        ("offset", 3, "it does not fit heights and widths"),
        ("offset", -(2**62), "it does not fit heights and widths"),
    )
    for column, value, said in wrong:
        shutil.copy(tiny, tmp_path / "x.h5")
        with h5py.File(tmp_path / "x.h5", "r+") as file:
            file[f"apples/train/{column}"][0] = value
        with pytest.raises(DataError, match=said):
            held(tmp_path / "x.h5")


def test_no_text_of_variable_length_is_written(tiny: Path, tmp_path: Path) -> None:
    """HDF5 keeps such text in a heap without a checksum: a flipped bit there can keep it busy for ever."""
    assert b"GCOL" not in tiny.read_bytes()  # how such a heap begins
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["text"] = "of variable length"
    assert b"GCOL" in (tmp_path / "old.h5").read_bytes()
