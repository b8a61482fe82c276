"""Planned domains packed beside those of a file: facts, names, order, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decathlon.data_prep import extend as extending
from decathlon.data_prep.check import problems
from decathlon.data_prep.extend import extend
from decathlon.data_prep.facts import OFFICIAL_BASELINE, OFFICIAL_NAME
from decathlon.data_prep.picture import Picture
from decathlon.data_prep.plan import PlannedDomain, PlannedSplit
from decathlon.domains import Category
from decathlon.errors import UsageError
from decathlon.official import OFFICIAL, OfficialDomain
from decathlon.packed import PackedFile
from tests.data_prep.own import pixels
from tests.packs import TINY, write_pack


def planned(name: str, index: int, train: int = 2, test: int = 2) -> PlannedDomain:
    """Return a domain of two classes, its images in memory."""

    def pictures(begin: int, end: int) -> list[Picture]:
        return [Picture(str(i), data=pixels(i)) for i in range(begin, end)]

    def split(first: int, count: int, label: int) -> PlannedSplit:
        ids = index * 10**7 + 200_000 + np.arange(first, first + count)
        return PlannedSplit("memory", ids, np.full(count, label, np.int32), pictures)

    categories = tuple(Category(index * 10**7 + k, f"c{k}") for k in (1, 2))
    return PlannedDomain(name, index, categories, {"train": split(1, train, 1), "test": split(train + 1, test, -1)})


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two small domains be the official ones of their names."""
    for name, index in (("dtd", 4), ("svhn", 8)):
        facts = OfficialDomain(index, 2, 2, 0, 2, 0.3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
        monkeypatch.setitem(OFFICIAL, name, facts)


def test_a_new_file_is_called_after_itself(tmp_path: Path) -> None:
    done = extend(tmp_path / "new.h5", [planned("mine", 11), planned("yours", 12)])
    with PackedFile(done.path) as file:
        assert (file.benchmark.name, file.benchmark.names, file.digest) == ("new", ("mine", "yours"), done.digest)
        np.testing.assert_array_equal(file.read("mine", "train").image(1), pixels(1))
    assert done.images == 8 and problems(done.path) == []


def test_domains_stand_in_the_order_of_their_index_and_facts_are_kept(tmp_path: Path) -> None:
    benchmark = replace(TINY, baseline="somebody's network", domains=TINY.domains[::2])
    file = write_pack(tmp_path / "old.h5", benchmark)
    extend(file, [planned("between", 2)])
    with PackedFile(file) as opened:
        assert opened.benchmark.names == ("apples", "between", "towers")
        assert (opened.benchmark.name, opened.benchmark.baseline) == ("tiny", "somebody's network")
        assert [domain.baseline_error for domain in opened.benchmark] == [0.2, None, 0.1]
    assert problems(file) == []


def test_a_domain_or_index_that_is_there_is_refused_and_force_replaces(tmp_path: Path) -> None:
    file = write_pack(tmp_path / "old.h5")
    before = file.read_bytes()
    with pytest.raises(UsageError, match="has a domain boats already: choose another name, or add --force"):
        extend(file, [planned("boats", 2)])
    with pytest.raises(UsageError, match="index 3 is that of towers in the file"):
        extend(file, [planned("mine", 3)], force=True)
    assert file.read_bytes() == before
    extend(file, [planned("boats", 2)], force=True)
    with PackedFile(file) as opened:
        assert opened.benchmark.names == TINY.names and opened.splits("boats") == ("train", "test")
    assert problems(file) == []


def test_official_domains_make_the_official_benchmark_and_others_do_not(tmp_path: Path, official: None) -> None:
    file = tmp_path / "some.h5"
    extend(file, [planned("svhn", 8)])
    extend(file, [planned("dtd", 4)])
    with PackedFile(file) as opened:
        assert (opened.benchmark.name, opened.benchmark.baseline) == (OFFICIAL_NAME, OFFICIAL_BASELINE)
        assert opened.benchmark.names == ("dtd", "svhn")
        assert [domain.baseline_error for domain in opened.benchmark] == [0.3, 0.3]
    other = tmp_path / "other.h5"
    extend(other, [planned("mine", 11)])
    extend(other, [planned("svhn", 8), planned("dtd", 4, test=3)])  # a test image too many: no published errors
    with PackedFile(other) as opened:
        assert (opened.benchmark.name, opened.benchmark.baseline) == ("other", OFFICIAL_BASELINE)
        assert [domain.baseline_error for domain in opened.benchmark] == [None, 0.3, None]


def test_the_lock_is_free_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(extending, "pack", failing)
        extend(tmp_path / "new.h5", [planned("mine", 11)])
    assert extend(tmp_path / "new.h5", [planned("mine", 11)]).images == 4
