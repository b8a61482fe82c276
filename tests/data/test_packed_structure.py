"""A packed file leads nowhere else and promises nothing that it does not hold: refused when it is opened."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.domains import SPLITS
from decathlon.data.packed_file import PackedFile
from decathlon.data.packed_format import COLUMNS
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.decoding import Decoded
from decathlon.data_prep.packing.writer import PackWriter
from decathlon.errors import DataError, DecathlonError
from decathlon.inference.predict import predict_run
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import TINY, put_facts, write_pack
from tests.helpers.runs import go

Attack = Callable[[h5py.File, Path], object]
PIXELS, LABEL, SPLIT = "apples/test/pixels", "apples/train/label", "apples/test"
SECRET = b"what nobody packed" * 4000


def taken(file: h5py.File, name: str) -> Any:
    """Remove a dataset from a file; return its values."""
    values = file[name][:]
    del file[name]
    return values


def again(name: str, **how: Any) -> Attack:
    """Store the values of a dataset in another way, as h5repack does."""
    return lambda file, _: file.create_dataset(name, data=taken(file, name), **how)


def external(name: str, other: str) -> Attack:
    def attack(file: h5py.File, folder: Path) -> None:
        old = taken(file, name)
        file.create_dataset(name, old.shape, old.dtype, external=[(str(folder / other), 0, old.nbytes)])

    return attack


def virtual(name: str, other: str, endless: bool = False) -> Attack:
    def attack(file: h5py.File, folder: Path) -> None:
        old = taken(file, name)
        most = (None,) if endless else old.shape
        every = slice(0, h5py.h5s.UNLIMITED) if endless else slice(None)
        layout = h5py.VirtualLayout(old.shape, old.dtype, maxshape=most)
        layout[every] = h5py.VirtualSource(str(folder / other), "x", old.shape, maxshape=most)[every]
        file.create_virtual_dataset(name, layout)

    return attack


def outer(name: str, other: str, inner: str) -> Attack:
    """Put a link to another file in the place of what has a name."""

    def attack(file: h5py.File, folder: Path) -> None:
        if name in file:
            del file[name]
        file[name] = h5py.ExternalLink(str(folder / other), inner)

    return attack


def soft(name: str) -> Attack:
    def attack(file: h5py.File, _: Path) -> None:
        file.move(name, "elsewhere")
        file[name] = h5py.SoftLink("/elsewhere")

    return attack


def noted(holder: str, name: str, value: Callable[[h5py.File], object]) -> Attack:
    return lambda file, _: file[holder].attrs.create(name, value(file))


def promised(name: str, rows: int, chunk: int) -> Attack:
    """Put a dataset that nothing was written to in the place of another."""

    def attack(file: h5py.File, _: Path) -> None:
        kind = taken(file, name).dtype
        file.create_dataset(name, (rows,), kind, chunks=(chunk,), maxshape=(None,), fletcher32=True)

    return attack


def of_named_type(file: h5py.File, _: Path) -> None:
    old, file["kind"] = taken(file, LABEL), np.dtype(np.int32)
    file.create_dataset(LABEL, data=old, dtype=file["kind"], chunks=old.shape, fletcher32=True)


def unchecked_chunk(file: h5py.File, _: Path) -> None:
    """Write a chunk as a program does that leaves its filter out: HDF5 then reads it unchecked."""
    file[LABEL].id.write_direct_chunk((0,), file[LABEL][:].tobytes(), filter_mask=1)


def attribute_instead(file: h5py.File, _: Path) -> None:
    file["apples/train"].attrs["label"] = taken(file, LABEL)


def typed_reference(file: h5py.File, _: Path) -> None:
    taken(file, LABEL)
    file.create_dataset(LABEL, (24,), h5py.ref_dtype, chunks=(24,), fletcher32=True)


UNCHECKED, FOREIGN = "no Fletcher32|not in chunks of this file", "a link to another place"
ELSEWHERE, NO_PART, HOLLOW = "not in chunks of this file", "no packed file holds", "does not hold its"
ATTACKS: dict[str, tuple[Attack, str]] = {
    "contiguous labels": (again(LABEL), UNCHECKED),
    "contiguous pixels": (again(PIXELS), UNCHECKED),
    "compact facts": (again("benchmark"), UNCHECKED),
    "no filter": (again(LABEL, chunks=(24,)), UNCHECKED),
    "compressed": (again(LABEL, chunks=(24,), compression="gzip"), UNCHECKED),
    "compressed, with a checksum": (again(LABEL, chunks=(24,), compression="gzip", fletcher32=True), UNCHECKED),
    "shuffled, with a checksum": (again(PIXELS, chunks=(999,), shuffle=True, fletcher32=True), UNCHECKED),
    "a chunk without its filter": (unchecked_chunk, HOLLOW),
    "an attribute instead": (attribute_instead, NO_PART),
    "external storage": (external(PIXELS, "secret"), ELSEWHERE),
    "external facts": (external("benchmark", "secret"), ELSEWHERE),
    "virtual": (virtual(PIXELS, "other.h5"), ELSEWHERE),
    "endless virtual": (virtual(PIXELS, "other.h5", True), ELSEWHERE),
    "external link": (outer(PIXELS, "other.h5", "/x"), FOREIGN),
    "external link of a split": (outer(SPLIT, "other.h5", "/boats/val"), FOREIGN),
    "external link of a domain": (outer("apples", "other.h5", "/boats"), FOREIGN),
    "external link of the facts": (outer("benchmark", "other.h5", "/benchmark"), FOREIGN),
    "external link of more": (outer("more", "other.h5", "/x"), NO_PART),
    "external link of more in a split": (outer(f"{SPLIT}/more", "other.h5", "/x"), NO_PART),
    "soft link": (soft(PIXELS), FOREIGN),
    "soft link of a split": (soft(SPLIT), FOREIGN),
    "soft link of a domain": (soft("apples"), FOREIGN),
    "object reference": (noted("/", "more", lambda file: file["apples"].ref), NO_PART),
    "region reference": (noted(SPLIT, "more", lambda file: file[PIXELS].regionref[:5]), NO_PART),
    "reference as the digest": (noted(SPLIT, "digest", lambda file: file["apples"].ref), "attribute digest"),
    "reference of a dataset": (noted(PIXELS, "more", lambda file: file["apples"].ref), "it has attributes"),
    "dataset of references": (typed_reference, "not a flat dataset of int32"),
    "named type": (lambda file, _: file.__setitem__("kind", np.dtype(np.int32)), NO_PART),
    "dataset of a named type": (of_named_type, NO_PART),
    "pipe as external storage": (external(PIXELS, "pipe"), ELSEWHERE),
    "pipe as external labels": (external(LABEL, "pipe"), ELSEWHERE),
    "pipe as virtual source": (virtual(PIXELS, "pipe"), ELSEWHERE),
    "pipe as endless virtual source": (virtual(PIXELS, "pipe", True), ELSEWHERE),
    "pipe behind a link": (outer(PIXELS, "pipe", "/x"), FOREIGN),
    "pipe behind a link of a domain": (outer("apples", "pipe", "/x"), FOREIGN),
    "device behind a link": (outer("benchmark", "/dev/zero", "/x"), FOREIGN),
    "500 million labels": (promised(LABEL, 5 * 10**8, 1 << 18), HOLLOW),
    "500 million pixels": (promised(PIXELS, 5 * 10**8, 1 << 20), HOLLOW),
    "labels that were never written": (promised(LABEL, 24, 24), HOLLOW),
    "a million small chunks": (promised(PIXELS, 10**6, 1), "too many for 1,000,000 values"),
    "a chunk of 4 GiB": (promised(PIXELS, 100, (1 << 32) - 1), "the limit is 1,048,576"),
    "a written chunk of 2 MiB": (again(PIXELS, chunks=(2 << 20,), maxshape=(None,), fletcher32=True), "the limit"),
}  # fmt: skip
QUICK = ("external storage", "pipe behind a link", "500 million labels", "contiguous labels")


@pytest.fixture(scope="module")
def attacked(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return how to make a packed file of each attack, beside what it leads to."""
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "secret").write_bytes(SECRET)
    os.mkfifo(folder / "pipe")
    shutil.copy(tiny, folder / "other.h5")
    with h5py.File(folder / "other.h5", "r+") as other:
        other["x"] = np.frombuffer(SECRET, np.uint8)

    def make(name: str) -> Path:
        path = folder / "attacked.h5"
        shutil.copy(tiny, path)
        with h5py.File(path, "r+") as file:
            ATTACKS[name][0](file, folder)
        return path

    return make


def test_every_attack_is_refused_when_the_file_is_opened(attacked: Callable[[str], Path]) -> None:
    def use(name: str) -> str:
        path, said = attacked(name), ""
        with pytest.raises(DataError, match=ATTACKS[name][1]) as refusal:
            PackedFile(path)
        said = str(refusal.value)
        assert said.startswith(f"{path}:/") and said.endswith("). Prepare the file again or copy it again."), said
        assert problems(path) == [said]
        return judged(lambda: str(PackedFile(path)))

    came = forked(ATTACKS, use)
    assert came.counts == {REFUSED: len(ATTACKS)}
    assert came.slowest < 2 and came.memory < 100 << 20


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = go(tiny, tmp_path_factory.mktemp("trained") / "run", domains=("apples",))
    predict_run(run, tiny, "val", run.folder / "results-val.json")
    return run.folder


COMMANDS = (
    "data info FILE", "data check FILE", "data stats FILE", "data show FILE -o OUT", "data export FILE -o OUT",
    "verify FILE", "predict RUN --data FILE -o OUT", "train --data FILE --method bn --trunk wrn-10-1 -o OUT",
    "data add FILE --name pears --from RUN", "data add FILE --name apples --from RUN --force",
    "score RUN --split val --truth FILE",
)  # fmt: skip


@pytest.mark.parametrize("words", quickly(COMMANDS, COMMANDS[0]))
@pytest.mark.parametrize("name", quickly(QUICK, QUICK[0]))
def test_every_command_refuses_it(
    attacked: Callable[[str], Path], trained: Path, tmp_path: Path, words: str, name: str
) -> None:
    places = {"FILE": str(attacked(name)), "RUN": str(trained), "OUT": str(tmp_path / "out")}

    def use(words: str) -> str:
        outcome = CliRunner().invoke(command, [places.get(word, word) for word in words.split()])
        error = outcome.exception
        assert isinstance(error, DecathlonError) and error.exit_code in (3, 4), outcome
        assert SECRET[:18].decode() not in outcome.output and not (tmp_path / "out").exists()
        return REFUSED

    came = forked([words], use)
    assert came.slowest < 5 and came.memory < 300 << 20


def test_values_that_stand_in_several_places_are_refused(tiny: Path, tmp_path: Path) -> None:
    """Else a small file could promise what fills the memory."""
    with h5py.File(tiny) as old, h5py.File(tmp_path / "x.h5", "w") as new:
        new.attrs.update(old.attrs)
        for name in ("benchmark", "apples"):
            old.copy(name, new)
        new["boats"] = new["towers"] = new["apples"]
    with pytest.raises(DataError, match="the file is smaller than its values"):
        PackedFile(tmp_path / "x.h5")


def put_split(path: Path, height: int, width: int, number: int = 1) -> Path:
    """Write a packed file of images of one size, as the writer does with whatever it is given."""
    pixels, sides = bytes(3 * height * width * number), np.ones(number, np.uint16)
    with PackWriter(path) as writer:
        for split, first in (("train", 10000001), ("val", 10100001), ("test", 10200001)):
            target = writer.split("apples", split, len(pixels))
            target.append(Decoded(pixels, sides * height, sides * width))
            labels = np.full(number, -1 if split == "test" else 0, np.int32)
            target.close(labels, np.arange(first, first + number))
        writer.finish(replace(TINY, domains=(TINY["apples"],)))
    return path


THIN = "it has an image above the aspect ratio 32 to 1"
THIN_SIZES = [(1, 65_535), slow((65_535, 1)), slow((1, 33))]


@pytest.mark.parametrize("size", THIN_SIZES)
def test_an_image_too_thin_to_be_enlarged_is_refused(tmp_path: Path, trained: Path, size: tuple[int, int]) -> None:
    path = put_split(tmp_path / "x.h5", *size, number=3)
    told = "has an image above the aspect ratio 32 to 1. Prepare the file again."
    assert problems(path) == [f"apples/{split} {told}" for split in SPLITS]
    with PackedFile(path) as packed, pytest.raises(DataError, match=f"apples/val is damaged .{THIN}"):
        list(packed.images("apples", "val"))
    came = forked([path], lambda path: judged(lambda: str(predict_run(trained, path, "test", tmp_path / "r.json"))))
    assert came.counts == {REFUSED: 1} and came.memory < 300 << 20


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_images_without_a_pixel_are_refused(tiny: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    path = put_split(tmp_path / "x.h5", *size, number=3)
    said = f"{path}:/apples/train is damaged (it has 0 values for the pixels of 3 images). Prepare the file again"
    assert [problem.startswith(said) for problem in problems(path)] == [True]


@pytest.mark.parametrize("column", ["height", "width"])
def test_one_image_without_a_pixel_is_refused(tiny: Path, tmp_path: Path, column: str) -> None:
    path = Path(shutil.copy(tiny, tmp_path / "x.h5"))
    with h5py.File(path, "r+") as file:
        file[f"apples/val/{column}"][3] = 0
    assert "apples/val has an image without a pixel. Prepare the file again." in problems(path)
    for words in (["data", "info", str(path)], ["data", "export", str(path), "-o", str(tmp_path / "out")]):
        error = CliRunner().invoke(command, words).exception
        assert f"/apples/val/{column} is damaged (it has an image without a pixel)" in str(error)


@pytest.mark.parametrize("size", [(1, 32), (32, 1), (1, 1), (72, 2304)])
def test_the_thinnest_images_that_are_packed_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    path = put_split(tmp_path / "x.h5", *size)
    assert problems(path) == []
    with PackedFile(path) as packed:
        assert [image.shape for image in packed.images("apples", "test")] == [(*size, 3)]


def emptied(path: Path, names: str) -> None:
    """Leave splits of a file without images."""
    with h5py.File(path, "r+") as file:
        for name in [f"{split}/{column}" for split in names.split() for column in COLUMNS]:
            rows, kind = int(name.endswith("offset")), taken(file, name).dtype
            new = file.create_dataset(name, (rows,), kind, chunks=(1,), maxshape=(None,), fletcher32=True)
            new[:] = 0


def test_a_split_without_images_is_named(tiny: Path, tmp_path: Path) -> None:
    for name in ("apples/test", "boats/train", "towers/val"):
        path = Path(shutil.copy(tiny, tmp_path / "x.h5"))
        emptied(path, name)
        said = f"{path}:/{name} is damaged (it has no images). Prepare the file again or copy it again."
        assert problems(path) == [said]
        with pytest.raises(DataError, match="it has no images"):
            PackedFile(path)


def test_a_domain_without_images_and_a_file_without_domains_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=":/apples is damaged .*doesn't exist"):
        PackedFile(write_pack(tmp_path / "a.h5", counts={}))
    with pytest.raises(DataError, match="domains is empty"):
        PackedFile(write_pack(tmp_path / "b.h5", replace(TINY, domains=())))


LETTERS = 100_000 * "x"
FACTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "long category": (lambda f: f["domains"][1]["categories"][0].update(name=LETTERS), "has 100,000 characters"),
    "long domain": (lambda f: f["domains"][1].update(name=LETTERS), "has 100,000 bytes, the limit is 180"),
    "long name": (lambda f: f.update(name=LETTERS), "the benchmark name .* the limit is 1,000"),
    "long source of errors": (lambda f: f.update(baseline=LETTERS), "the baseline .* the limit is 1,000"),
    "an id twice": (
        lambda f: f["domains"][0]["categories"][1].update(id=10000001), "apples has the category id 10000001 twice"
    ),
    "an id in two domains": (
        lambda f: f["domains"][1]["categories"][4].update(id=10000001), "10000001 is in both apples and boats"
    ),
    "20,000 domains": (
        lambda f: f.update(domains=[f["domains"][0] | {"name": f"d{i}"} for i in range(20_000)]), "20,000 domains"
    ),
    "a million classes": (
        lambda f: f["domains"][0].update(categories=[{"id": i, "name": ""} for i in range(10**6)]), "more than 16,"
    ),
    "classes that fit": (
        lambda f: f["domains"][0].update(categories=[{"id": i, "name": ""} for i in range(3 * 10**5)]), "digest"
    ),
    "lists that fit": (lambda f: f.update(more=[[] for _ in range(2 * 10**6)]), "digest"),
}  # fmt: skip


@pytest.mark.parametrize("name", quickly(FACTS, *list(FACTS)[:6]))
def test_facts_beyond_any_benchmark_are_refused(tiny: Path, tmp_path: Path, name: str) -> None:
    path, facts = Path(shutil.copy(tiny, tmp_path / "x.h5")), TINY.to_json()
    FACTS[name][0](facts)
    put_facts(path, json.dumps(facts).encode(), seal="fit" not in name)
    with pytest.raises(DataError, match=FACTS[name][1]) as refusal:
        PackedFile(path)
    assert len(str(refusal.value)) < 300
    came = forked([path], lambda path: judged(lambda: str(PackedFile(path))))
    assert came.counts == {REFUSED: 1} and came.memory < 700 << 20


def test_a_pipe_or_device_in_the_place_of_a_packed_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name in ("pipe.h5", "zero.h5"):
        for words in ("info FILE", "check FILE", "stats FILE", "show FILE", "export FILE -o OUT",
                      "add FILE --name pears --from ."):  # fmt: skip
            told = [{"FILE": str(tmp_path / name), "OUT": str(tmp_path / "out")}.get(w, w) for w in words.split()]
            outcome = CliRunner().invoke(command, ["data", *told])
            assert isinstance(outcome.exception, DecathlonError), words
            assert "it is not a regular file" in outcome.output + str(outcome.exception), words
