"""Folders and archives as sources, and the archives that must be refused."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data_prep import archive as archive_module
from decathlon.data_prep import known
from decathlon.data_prep.mirrors import KnownFile, known_files
from decathlon.data_prep.packing import Packing
from decathlon.data_prep.prepare import prepare
from decathlon.data_prep.source import open_source
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.files import sha256
from decathlon.packed import PackedFile
from tests.data_prep.sources import archive, write_source


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
    with pytest.raises(UsageError, match="there is no .*nowhere: name a folder or an archive"):
        open_source([tmp_path / "nowhere"])


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", gzip.compress(b"text")])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="is neither a folder nor a tar archive"):
        open_source([tmp_path / "a.tar.gz"])


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"x") -> bytes:
    """One member as it stands in an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    data = content if kind == tarfile.REGTYPE else b""
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


LONG = "d" * 200
ATTACKS: dict[str, tuple[list[bytes], str]] = {
    "parent": ([entry("../x")], "'../x' leads out of its folder"),
    "parent in the middle": ([entry("a/../../x")], "'a/../../x' leads out of its folder"),
    "parent folder": ([entry("..", tarfile.DIRTYPE)], "leads to no file"),
    "absolute": ([entry("/tmp/x")], "'/tmp/x' is absolute"),
    "drive": ([entry("c:x")], "is absolute"),
    "backslash": ([entry("a\\x")], "not written with forward slashes"),
    "symlink": ([entry("a", tarfile.SYMTYPE, "/etc")], "'a' is a link, a device"),
    "write through a symlink": ([entry("a", tarfile.SYMTYPE, ".."), entry("a/x")], "'a' is a link, a device"),
    "long chain": (
        [entry(LONG, tarfile.DIRTYPE), entry("a", tarfile.SYMTYPE, LONG), entry("b", tarfile.SYMTYPE, "a/..")],
        "'a' is a link, a device",
    ),
    "hard link": ([entry("x"), entry("a", tarfile.LNKTYPE, "x")], "'a' is a link, a device"),
    "device": ([entry("a", tarfile.CHRTYPE)], "'a' is a link, a device"),
    "block device": ([entry("a", tarfile.BLKTYPE)], "'a' is a link, a device"),
    "pipe": ([entry("a", tarfile.FIFOTYPE)], "'a' is a link, a device"),
    "duplicate": ([entry("a"), entry("./a")], "'./a' stands in it twice"),
    "composed twin": ([entry("\u00e9"), entry("e\u0301")], "stands in it twice"),
    "control character": ([entry("a\nb")], "holds characters no file name has"),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTACKS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gz"])
def test_an_attack_is_refused_by_its_name_and_leaves_nothing(
    tmp_path: Path, case: str, pack: Callable[[bytes], bytes]
) -> None:
    entries, message = ATTACKS[case]
    path = tmp_path / "a.tar"
    path.write_bytes(pack(entry("first") + b"".join(entries) + bytes(10240)))
    with pytest.raises(DataError) as refusal:
        open_source([path])
    assert str(refusal.value).startswith(f"{path} is refused: its member ")
    assert message in str(refusal.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.tar"]


@pytest.mark.parametrize("packed", [False, True], ids=["tar", "gz"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_an_archive_cut_short_is_refused(tmp_path: Path, packed: bool, part: float) -> None:
    whole = archive(write_source(tmp_path / "source"), tmp_path / ("a.tar.gz" if packed else "a.tar"))
    data = whole.read_bytes().rstrip(b"\0")
    whole.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match="is damaged or cut short"):
        open_source([whole])


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(entry("annotations/a") + entry("b"))
    with pytest.raises(DataError, match="the end is missing"):
        open_source([path])


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    damaged = bytearray(entry("b"))
    damaged[3] ^= 1
    path.write_bytes(entry("annotations/a") + damaged + entry("c") + bytes(10240))
    with pytest.raises(DataError, match="a member's header is unreadable"):
        open_source([path])


def test_a_wrong_gzip_checksum_is_refused(tmp_path: Path) -> None:
    path = archive(write_source(tmp_path / "source"), tmp_path / "a.tar.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged or cut short"):
        open_source([path])


def test_a_member_larger_than_its_archive_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 50
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DataError, match="'huge' has fewer bytes than it should"):
        open_source([tmp_path / "a.tar"])


def test_a_gzipped_archive_is_unpacked_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "IN_MEMORY", 3 << 20)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(entry("zeros", content=bytes(4 << 20)) + bytes(10240)))
    with pytest.raises(DataError, match="bomb.tar.gz holds more than 3 MB: decompress it first"):
        open_source([path])


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    """Archives made on a Mac hold names in pieces, annotations seldom do."""
    path = tmp_path / "a.tar"
    path.write_bytes(entry("annotations/a") + entry("data/cafe\u0301.png") + bytes(10240))
    assert open_source([path]).read("data/caf\u00e9.png") == b"x"


def split_up(root: Path, folder: Path, kind: str) -> list[Path]:
    """Return the benchmark under `root` in the parts that people have it in."""
    annotations = archive(root / "annotations", folder / "decathlon-1.0-devkit.tar.gz", "decathlon-1.0/annotations")
    names = sorted(path.name for path in (root / "data").iterdir())
    if kind == "a folder of images":
        return [annotations, root / "data"]
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
    ["a folder of images", "a tar of images", "a tar a domain", "a tar a domain, from its splits on",
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
    prepare([root], tmp_path / "one.h5", Packing(say=lines.append))
    assert lines[0] == "Warning: boats is left out: none of its 5 images is there."
    with PackedFile(tmp_path / "one.h5") as file:
        assert file.benchmark.names == ("apples",)
    shutil.rmtree(root / "data")
    with pytest.raises(DataError, match="holds annotations and none of their images"):
        prepare([root], tmp_path / "none.h5")


def test_an_archive_in_an_archive_in_an_archive_is_not_looked_into(tmp_path: Path) -> None:
    """Archives can be made that hold themselves."""
    bottom = entry("data/a/test/x.png") + bytes(10240)
    middle = entry("../x") + bytes(10240)  # would be refused
    top = (
        entry("one.tar", content=entry("two.tar", content=middle) + bottom) + entry("annotations/a") + bytes(10240)
    )
    (tmp_path / "a.tar").write_bytes(top)
    assert open_source([tmp_path / "a.tar"]).read("data/a/test/x.png") == b"x"


def test_an_attack_inside_an_inner_archive_is_refused(tmp_path: Path) -> None:
    inner = entry("fine") + entry("../x") + bytes(10240)
    (tmp_path / "a.tar").write_bytes(entry("d.tar", content=inner) + entry("annotations/a") + bytes(10240))
    with pytest.raises(DataError, match=r"a.tar: d.tar is refused: its member '../x' leads out"):
        open_source([tmp_path / "a.tar"])


def test_an_archive_under_a_known_name_is_compared(tmp_path: Path) -> None:
    path = archive(write_source(tmp_path / "tiny"), tmp_path / "decathlon-1.0-devkit.tar.gz")
    own, digest = sha256(path), known_files()[path.name].digest
    lines: list[str] = []
    prepare([path], tmp_path / "a.h5", Packing(say=lines.append))
    assert lines[0] == f"Warning: {path} has SHA-256 {own}, the known file has {digest}."
    with pytest.raises(VerificationError, match=f"has SHA-256 {own}, the known file has {digest}: get it again"):
        prepare([path], tmp_path / "b.h5", strict=True)
    assert not (tmp_path / "b.h5").exists()


def test_strict_takes_the_known_file_and_no_unknown_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_source(tmp_path / "tiny")
    path = archive(root, tmp_path / "mine.tar")
    with pytest.raises(VerificationError, match="no digest is known for .*mine.tar"):
        prepare([path], tmp_path / "a.h5", strict=True)
    monkeypatch.setattr(known, "known_files", lambda: {"mine.tar": KnownFile("mine.tar", "sha256", sha256(path))})
    lines: list[str] = []
    prepare([path], tmp_path / "a.h5", Packing(say=lines.append), strict=True)
    assert lines[0] == f"{path} has the known SHA-256"
    prepare([root], tmp_path / "b.h5", strict=True)  # a folder has no digest to compare


@pytest.mark.parametrize("case", ["parent", "symlink", "duplicate"])
def test_the_command_ends_with_3_and_one_sentence(tmp_path: Path, case: str) -> None:
    entries, message = ATTACKS[case]
    (tmp_path / "a.tar").write_bytes(b"".join(entries) + entry("annotations/a") + bytes(10240))
    code = "from decathlon.cli.main import main; main()"
    words = [sys.executable, "-c", code, "data", "prepare", "a.tar", "-o", "out.h5"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and message in done.stderr and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.slow
def test_zeros_without_end_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    """Two gigabytes of zeros make two megabytes of gzip; the process may take half of them."""
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        info = tarfile.TarInfo("zeros")
        info.size = 2 << 30
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(2048):
            file.write(bytes(1 << 20))
        file.write(bytes(10240))
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2500 << 20, 2500 << 20))\n"
    code += "from decathlon.cli.main import main; main()"
    words = [sys.executable, "-c", code, "data", "prepare", "a.tar.gz", "-o", "out.h5"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and "a.tar.gz holds more than 1024 MB: decompress it first" in done.stderr
