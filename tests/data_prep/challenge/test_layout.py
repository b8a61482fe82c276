"""Folders and archives as sources, alone and together."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.layout import open_source
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.download.mirrors import KnownFile, known_files
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.system.files import sha256
from tests.helpers.challenge_sources import archive, entry, write_domain, write_source


def test_a_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    source = open_source([root])
    assert source.name == "tiny"
    assert source.names("annotations")[0] == "annotations/apples_test_stripped.json"
    assert source.read("data/apples/val/000001.png").startswith(b"\x89PNG")


@pytest.mark.parametrize("top", [".", "tiny-1.0", "./deep"])
@pytest.mark.parametrize("name", ["tiny.tar", "tiny.tar.gz", "tiny.tgz"])
def test_an_archive_reads_as_its_folder_does_and_nothing_is_written(tmp_path: Path, name: str, top: str) -> None:
    root = write_source(tmp_path / "source")
    path = archive(root, tmp_path / "in" / name, top)
    source = open_source([path])
    assert source.name == "tiny"
    assert source.names("annotations") == open_source([root]).names("annotations")
    for file in ("annotations/boats_train.json", "data/apples/val/000001.png"):
        assert source.read(file) == (root / file).read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_around_the_benchmark_is_passed_through(tmp_path: Path) -> None:
    root = write_source(tmp_path / "download" / "decathlon-1.0")
    source = open_source([tmp_path / "download"])
    assert source.picture("data/apples/val/000001.png").path == f"{root}/data/apples/val/000001.png"


def test_two_benchmarks_in_one_source_are_one_too_many(tmp_path: Path) -> None:
    write_source(tmp_path / "both" / "one")
    write_source(tmp_path / "both" / "two")
    for path in (tmp_path / "both", archive(tmp_path / "both", tmp_path / "both.tar")):
        with pytest.raises(DataError, match="holds several benchmarks"):
            open_source([path])


def test_two_sources_with_the_same_annotations_are_one_too_many(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    with pytest.raises(DataError, match="apples_test_stripped.json is in two of the sources"):
        open_source([root, archive(root, tmp_path / "tiny.tar")]).names("annotations")


def test_a_missing_source_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere does not exist. Pass a folder or an archive"):
        open_source([tmp_path / "nowhere"])


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", gzip.compress(b"text", mtime=0)])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="is neither a folder nor a tar archive"):
        open_source([tmp_path / "a.tar.gz"])


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    """Archives made on a Mac hold names in pieces, annotations seldom do."""
    path = tmp_path / "a.tar"
    path.write_bytes(entry("annotations/a") + entry("data/cafe\u0301.png") + bytes(10240))
    assert open_source([path]).read("data/caf\u00e9.png") == b"x"


@pytest.mark.parametrize("named", ["caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("stored", ["caf\u00e9", "cafe\u0301"])
def test_a_folder_with_names_in_pieces_is_packed_as_its_archive_is(tmp_path: Path, named: str, stored: str) -> None:
    write_domain(tmp_path / "own", named, 1)
    os.rename(tmp_path / "own/data" / named, tmp_path / "own/data" / stored)
    for path in (tmp_path / "own/annotations").iterdir():
        os.rename(path, path.with_name(path.name.replace(named, stored)))
    os.rename(tmp_path / "own", tmp_path / stored)
    root = tmp_path / stored
    sources = [
        [archive(root, tmp_path / f"{stored}.tar")], [root], [root / "annotations", root / "data"],
        [root / "annotations", root / "data" / stored],
        [root / "annotations", archive(root / "data" / stored, tmp_path / "tars" / f"{stored}.tar")],
    ]  # fmt: skip
    digests = set()
    for number, source in enumerate(sources):
        done = prepare(
            source, tmp_path / f"{number}.h5", PackOptions(workers=1), name=None if number < 2 else "caf\u00e9"
        )
        digests.add(done.digest)
    assert len(digests) == 1
    with PackedFile(tmp_path / "0.h5") as packed:
        assert packed.benchmark.names == ("caf\u00e9",)


def split_up(root: Path, folder: Path, kind: str) -> list[Path]:
    """Return the benchmark under `root` in the parts that people have it in."""
    annotations = archive(root / "annotations", folder / "decathlon-1.0-devkit.tar.gz", "decathlon-1.0/annotations")
    names = sorted(path.name for path in (root / "data").iterdir())
    if kind == "a folder of images":
        return [annotations, root / "data"]
    if kind == "the annotations and a folder a domain":
        return [root / "annotations", *((root / "data" / name) for name in names)]
    if kind == "a tar of images":
        return [annotations, archive(root / "data", folder / "images.tar", "anything")]
    top = "." if kind == "a tar a domain, from its splits on" else None
    tars = [archive(root / "data" / name, folder / "tars" / f"{name}.tar", top or name) for name in names]
    if kind == "a tar of tars":
        return [annotations, archive(folder / "tars", folder / "decathlon-1.0-data.tar.gz", "decathlon-1.0-data")]
    if kind == "one folder of all archives":
        annotations.rename(folder / "tars" / annotations.name)
        return [folder / "tars"]
    return [annotations, *tars]


@pytest.mark.parametrize(
    "kind",
    ["a folder of images", "the annotations and a folder a domain", "a tar of images", "a tar a domain",
     "a tar a domain, from its splits on",
     "a tar of tars", "one folder of all archives"],
)  # fmt: skip
def test_parts_make_the_same_packed_file_as_the_whole(tmp_path: Path, kind: str) -> None:
    root = write_source(tmp_path / "tiny")
    whole = prepare([root], tmp_path / "whole.h5", name="x")
    parts = prepare(split_up(root, tmp_path / "parts", kind), tmp_path / "parts.h5", name="x")
    assert parts.digest == whole.digest


def test_a_domain_without_any_image_is_left_out(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    shutil.rmtree(root / "data" / "boats")
    lines: list[str] = []
    prepare([root], tmp_path / "one.h5", PackOptions(say=lines.append))
    assert lines[0] == "Warning: boats is left out: none of its 5 images was found."
    with PackedFile(tmp_path / "one.h5") as file:
        assert file.benchmark.names == ("apples",)
    shutil.rmtree(root / "data")
    with pytest.raises(DataError, match="has annotations but none of their images"):
        prepare([root], tmp_path / "none.h5")


def test_an_archive_under_a_known_name_is_compared(tmp_path: Path) -> None:
    path = archive(write_source(tmp_path / "tiny"), tmp_path / "decathlon-1.0-devkit.tar.gz")
    own, digest = sha256(path), known_files()[path.name].digest
    lines: list[str] = []
    prepare([path], tmp_path / "a.h5", PackOptions(say=lines.append))
    assert lines[0] == f"Warning: {path} has SHA-256 {own}, the known file has {digest}."
    again = f"Download it again with: decathlon data fetch {path.name} -o {tmp_path} --force"
    with pytest.raises(VerificationError, match=f"has SHA-256 {own}, the known file has {digest}. {again}"):
        prepare([path], tmp_path / "b.h5", strict=True)
    assert not (tmp_path / "b.h5").exists()


def test_strict_takes_the_known_file_and_no_unknown_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_source(tmp_path / "tiny")
    path = archive(root, tmp_path / "mine.tar")
    with pytest.raises(VerificationError, match="no digest is known for .*mine.tar"):
        prepare([path], tmp_path / "a.h5", strict=True)
    known = {"mine.tar": KnownFile("mine.tar", "sha256", sha256(path))}
    monkeypatch.setattr("decathlon.data_prep.challenge.prepare.known_files", lambda: known)
    lines: list[str] = []
    prepare([path], tmp_path / "a.h5", PackOptions(say=lines.append), strict=True)
    assert lines[0] == f"{path} has the known SHA-256"
    prepare([root], tmp_path / "b.h5", strict=True)  # a folder has no digest to compare


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(DataError, match="is neither a folder nor a tar archive"):
        open_source([tmp_path / "pipe.tar"])
    (root / "data/boats/train/000001.png").unlink()
    os.mkfifo(root / "data/boats/train/000001.png")
    with pytest.raises(DataError, match="000001.png cannot be read .not a regular file"):
        prepare([root], tmp_path / "x.h5")
    (root / "annotations/boats_train.json").unlink()
    (root / "annotations/boats_train.json").symlink_to("nowhere")
    with pytest.raises(DataError, match="annotations/boats_train.json does not exist"):
        prepare([root], tmp_path / "x.h5")


def test_an_image_in_two_sources_is_one_too_many(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    tar = archive(root / "data" / "apples", tmp_path / "apples.tar", "apples")
    with pytest.raises(DataError, match="data/apples/train/000001.png is in two of the sources. Leave out one"):
        prepare([root, tar], tmp_path / "x.h5")


def test_what_a_mac_leaves_beside_files_is_passed_over(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    whole = prepare([root], tmp_path / "whole.h5", name="x")
    (root / "data" / "._apples.tar").write_bytes(b"no archive")
    (root / "__MACOSX" / "annotations").mkdir(parents=True)
    (root / "__MACOSX" / "annotations" / "._apples_train.json").write_bytes(b"no JSON")
    packed = archive(root, tmp_path / "tiny.tar")
    for path in (root, packed):
        assert prepare([path], tmp_path / "again.h5", name="x", force=True).digest == whole.digest


def test_annotations_under_other_names_are_told(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    (root / "annotations" / "apples_training.json").write_text("{}")
    lines: list[str] = []
    prepare([root], tmp_path / "x.h5", PackOptions(say=lines.append))
    assert "apples_training.json' is ignored: its name is not <domain>_train" in lines[0]


def test_images_begin_where_their_archive_does(tmp_path: Path) -> None:
    """A folder around them may be called as a split is."""
    root = write_source(tmp_path / "tiny")
    whole = prepare([root], tmp_path / "whole.h5", name="x")
    annotations = archive(root / "annotations", tmp_path / "a.tar", "annotations")
    images = archive(root / "data", tmp_path / "b.tar", "train")
    assert prepare([annotations, images], tmp_path / "parts.h5", name="x").digest == whole.digest
