"""Folders and archives as sources, and the archives that must be refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data_prep.source import open_source
from decathlon.errors import DataError, UsageError
from tests.data_prep.sources import archive, write_source


def test_a_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    root = write_source(tmp_path / "tiny")
    with open_source(root, tmp_path) as source:
        assert (source.root, source.name) == (root, "tiny")
        assert source.names("annotations")[0] == "annotations/apples_test_stripped.json"
        assert source.read("data/apples/val/000001.png").startswith(b"\x89PNG")


@pytest.mark.parametrize("top", [".", "tiny-1.0", "./deep"])
@pytest.mark.parametrize("name", ["tiny.tar", "tiny.tar.gz", "tiny.tgz"])
def test_an_archive_reads_as_its_folder_does_and_leaves_nothing(tmp_path: Path, name: str, top: str) -> None:
    root = write_source(tmp_path / "source")
    path = archive(root, tmp_path / name, top)
    scratch = tmp_path / "scratch"
    with open_source(path, scratch) as source:
        assert source.name == "tiny"
        for file in ("annotations/boats_train.json", "data/apples/val/000001.png"):
            assert source.read(file) == (root / file).read_bytes()
        assert source.root.is_relative_to(scratch)
    assert list(scratch.iterdir()) == []


def test_a_folder_around_the_benchmark_is_passed_through(tmp_path: Path) -> None:
    write_source(tmp_path / "download" / "decathlon-1.0")
    with open_source(tmp_path / "download", tmp_path) as source:
        assert source.root.name == "decathlon-1.0"


def test_two_benchmarks_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    write_source(tmp_path / "one")
    write_source(tmp_path / "two")
    with pytest.raises(DataError, match="holds several benchmarks"), open_source(tmp_path, tmp_path):
        pass


def test_a_missing_source_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no .*nowhere: name a folder or an archive"):
        with open_source(tmp_path / "nowhere", tmp_path):
            pass


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08", gzip.compress(b"text")])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="is neither a folder nor a tar archive"):
        with open_source(tmp_path / "a.tar.gz", tmp_path):
            pass


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
    "file as folder": ([entry("a"), entry("a/b")], "'a/b' collides with another"),
    "folder as file": ([entry("a/b"), entry("a")], "'a' collides with another"),
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
    scratch = tmp_path / "deep" / "scratch"
    with pytest.raises(DataError) as refusal, open_source(path, scratch):
        pass
    assert str(refusal.value).startswith(f"{path} is refused: its member ")
    assert message in str(refusal.value)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["a.tar", "deep", "scratch"]


@pytest.mark.parametrize("packed", [False, True], ids=["tar", "gz"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_an_archive_cut_short_is_refused(tmp_path: Path, packed: bool, part: float) -> None:
    whole = archive(write_source(tmp_path / "source"), tmp_path / ("a.tar.gz" if packed else "a.tar"))
    data = whole.read_bytes().rstrip(b"\0")
    whole.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match="is damaged or cut short"), open_source(whole, tmp_path):
        pass


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(entry("annotations/a") + entry("b"))
    with pytest.raises(DataError, match="the end is missing"), open_source(path, tmp_path):
        pass


def test_a_damaged_header_does_not_pass_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    damaged = bytearray(entry("b"))
    damaged[3] ^= 1
    path.write_bytes(entry("annotations/a") + damaged + entry("c") + bytes(10240))
    with pytest.raises(DataError, match="a member's header is unreadable"), open_source(path, tmp_path):
        pass


def test_a_wrong_gzip_checksum_is_refused(tmp_path: Path) -> None:
    path = archive(write_source(tmp_path / "source"), tmp_path / "a.tar.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged or cut short"), open_source(path, tmp_path):
        pass


def test_a_member_larger_than_allowed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 50
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + io.BytesIO(bytes(2048)).read())
    with pytest.raises(DataError, match="'huge' has 1,125,899,906,842,624 bytes, more than"):
        with open_source(tmp_path / "a.tar", tmp_path):
            pass
