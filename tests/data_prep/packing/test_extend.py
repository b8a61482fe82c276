"""A packed file that gets one more domain: what was there stays to the bit, or the file is not touched."""

from __future__ import annotations

from pathlib import Path

import filelock
import numpy as np
import pytest

from decathlon.data.domains import Benchmark, Category
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.extend import extend, extended, held
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.data_prep.packing.pixel_statistics import Moments
from decathlon.data_prep.packing.plan import PlannedDomain, PlannedSplit
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import BusyError, DataError, UsageError

QUIET = PackOptions(workers=1)


def planned(name: str, index: int, images: int = 4, grey: int = 9) -> PlannedDomain:
    ids = np.arange(images, dtype=np.int64) + index * 10**7 + 1

    def picture(i: int) -> Picture:
        return Picture(str(i), data=np.full((4, 5, 3), grey + i, np.uint8))

    split = PlannedSplit("here", ids, np.zeros(images, np.int32), picture)
    return PlannedDomain(name, index, (Category(index * 10**7 + 1, "one"),), {"train": split})


def test_a_new_file_is_called_after_itself_and_grows_in_order_of_index(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    first = extend(path, [planned("towers", 30)], QUIET, force=False)
    with PackedFile(path) as file:
        assert (file.benchmark.name, file.benchmark.names, file.digest) == ("mine", ("towers",), first.digest)
        before = file.split_digest("towers", "train")
    second = extend(path, [planned("boats", 20, 3)], QUIET, force=False)
    with PackedFile(path) as file:
        assert file.benchmark.names == ("boats", "towers") and file.benchmark.name == "mine"
        assert file.split_digest("towers", "train") == before and file.digest == second.digest
        assert file.read("towers", "train").image(3).tolist() == np.full((4, 5, 3), 12).tolist()
    assert second.images == 3 and problems(path) == [] and [p.name for p in tmp_path.iterdir()] == ["mine.h5"]


def test_the_order_of_building_does_not_matter(tmp_path: Path) -> None:
    one, two = planned("apples", 1), planned("boats", 2)
    for name, order in (("a", (one, two)), ("b", (two, one))):
        for domain in order:
            extend(tmp_path / name / "x.h5", [domain], QUIET, force=False)
    extend(tmp_path / "c" / "x.h5", [one, two], QUIET, force=False)
    assert len({PackedFile(tmp_path / name / "x.h5").digest for name in "abc"}) == 1


def test_a_domain_that_is_there_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    extend(path, [planned("boats", 2), planned("towers", 3)], QUIET, force=False)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"already has boats. Choose another --name, or add --force"):
        extend(path, [planned("boats", 2, grey=50)], QUIET, force=False)
    assert path.read_bytes() == before
    extend(path, [planned("boats", 2, grey=50)], QUIET, force=True)
    with PackedFile(path) as file:
        assert file.read("boats", "train").pixels[0] == 50 and file.read("towers", "train").pixels[0] == 9
        assert file.benchmark["boats"].mean[0] == pytest.approx(51.5 / 255)


def test_another_domain_with_the_same_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    extend(path, [planned("boats", 2)], QUIET, force=False)
    with pytest.raises(DataError, match="boats has the ids of domain 2, which towers needs"):
        extend(path, [planned("towers", 2)], QUIET, force=True)


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_text("mine")
    with pytest.raises(DataError, match="cannot open"):
        extend(path, [planned("boats", 2)], QUIET, force=True)
    assert path.read_text() == "mine"


def test_a_failed_addition_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    extend(path, [planned("boats", 2)], QUIET, force=False)
    before = path.read_bytes()
    broken = planned("towers", 3)
    split = broken.splits["train"]
    spoilt = PlannedSplit("here", split.image_ids, split.labels, lambda i: Picture("no.png", data=b"x"))
    with pytest.raises(DataError, match=r"here: no\.png is not a JPEG"):
        extend(path, [PlannedDomain("towers", 3, broken.categories, {"train": spoilt})], QUIET, force=False)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["mine.h5"]
    extend(path, [planned("towers", 3)], QUIET, force=False)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    with (
        filelock.FileLock(tmp_path / ".mine.h5.lock"),
        pytest.raises(BusyError, match=r"mine.h5 is being written by another process. Wait"),
    ):
        extend(path, [planned("boats", 2)], QUIET, force=False)
    assert not path.exists()


def test_the_official_ten_get_the_official_name_and_baseline() -> None:
    def domain(name: str) -> PlannedDomain:
        official = OFFICIAL[name]
        none = PlannedSplit(
            "", np.zeros(official.test, np.int64), np.zeros(official.test, np.int32), lambda i: Picture("")
        )
        ids = range(official.index * 10**7 + 1, official.index * 10**7 + 1 + official.classes)
        return PlannedDomain(name, official.index, tuple(Category(i, str(i)) for i in ids), {"test": none})

    benchmark = Benchmark("mine", ())
    for name in sorted(OFFICIAL, reverse=True):
        assert benchmark.name == "mine"
        benchmark = extended(benchmark, [domain(name)], {})
    assert benchmark.name == "visual-decathlon" and benchmark.names == tuple(OFFICIAL)
    assert benchmark.baseline == "Finetune of Rebuffi et al. 2017, table 1"
    assert benchmark["dtd"].baseline_error == OFFICIAL["dtd"].finetune_error
    moments = Moments()
    moments.add(bytes(range(12)))
    measured = extended(Benchmark("own", (), "measured"), [domain("dtd"), planned("boats", 20)], {"boats": moments})
    assert (measured.name, measured.baseline[:8]) == ("own", "measured") and "Rebuffi" in measured.baseline


def test_a_process_that_holds_the_file_may_extend_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    with held(path):
        extend(path, [planned("boats", 2)], QUIET, force=False)
        assert (tmp_path / ".mine.h5.lock").exists()  # the inner block let nobody in
        extend(path, [planned("towers", 3)], QUIET, force=False)
    with PackedFile(path) as file:
        assert file.benchmark.names == ("boats", "towers")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.h5"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.h5").symlink_to(tmp_path / "real.h5")
    done = extend(tmp_path / "link.h5", [planned("boats", 2)], QUIET, force=False)
    assert done.path.is_symlink() and problems(tmp_path / "real.h5") == []
