"""Archives that must be refused, by name and in bounded memory, and honest ones that must not."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data_prep.challenge.layout import open_source
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing import pipeline
from decathlon.data_prep.sources import archives as archive_module
from decathlon.data_prep.sources import image_ref
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError
from tests.helpers.challenge_sources import archive, entry, write_source

LONG = "d" * 200
ATTACKS: dict[str, tuple[list[bytes], str]] = {
    "parent": ([entry("../x")], "'../x' leads out of its folder"),
    "parent in the middle": ([entry("a/../../x")], "'a/../../x' leads out of its folder"),
    "parent folder": ([entry("..", tarfile.DIRTYPE)], "names no file"),
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
    "duplicate": ([entry("a"), entry("./a")], "'./a' is a duplicate"),
    "composed twin": ([entry("\u00e9"), entry("e\u0301")], "is a duplicate"),
    "control character": ([entry("a\nb")], "has unprintable characters"),
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
    with pytest.raises(DataError, match="bomb.tar.gz exceeds the 3 MB that all archives together may unpack"):
        open_source([path])


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
    assert (
        done.returncode == 3 and "a.tar.gz exceeds the 1024 MB that all archives together may unpack" in done.stderr
    )


def chain(kind: bytes, count: int) -> bytes:
    """Extended headers in a row, each before the next."""
    return b"".join(extended(kind, b"30 path=" + b"x" * 21 + b"\n") for _ in range(count))


def extended(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, len(content) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


HEADERS = {
    "long names in a row": chain(tarfile.GNUTYPE_LONGNAME, 3000),
    "pax headers in a row": chain(tarfile.XHDTYPE, 3000),
    "global headers in a row": chain(tarfile.XGLTYPE, 3000),
    "a huge long name": extended(tarfile.GNUTYPE_LONGNAME, bytes(4 << 20)),
    "a pax header larger than the file": extended(tarfile.XHDTYPE, b"", size=7 << 30),
    "a negative size": extended(tarfile.GNUTYPE_LONGNAME, b"", size=-5),
    "a record of many digits": extended(tarfile.XHDTYPE, b"9" * 400 + b" path=x\n"),
    "a sparse size that is none": extended(tarfile.XHDTYPE, b"23 GNU.sparse.size=abc\n22 GNU.sparse.map=a,b\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gz"])
def test_headers_that_would_hang_or_fill_memory_are_damage(
    tmp_path: Path, case: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pack(entry("annotations/a") + HEADERS[case] + entry("b") + bytes(10240)))
    with pytest.raises(DataError, match="a.tar is (damaged or cut short|refused)"):
        open_source([path])


def test_long_names_and_comments_as_honest_archives_have_them_are_read(tmp_path: Path) -> None:
    """The negative control: GNU and PAX headers for a name of 300 letters, and git's comment for all."""
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path, name = tmp_path / f"{form}.tar", f"data/a/test/{'x' * 300}.png"
        with tarfile.open(path, "w", format=form, pax_headers={"comment": "abc"}) as tar:
            for member in ("annotations/a", name):
                info = tarfile.TarInfo(member)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))
        assert open_source([path]).read(name) == b"x"


def test_gzipped_archives_share_the_memory_they_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "IN_MEMORY", 3 << 20)
    for name in "ab":
        content = entry(f"annotations/{name}") + entry("zeros", content=bytes(2 << 20)) + bytes(10240)
        (tmp_path / f"{name}.tar.gz").write_bytes(gzip.compress(content))
    open_source([tmp_path / "a.tar.gz"])
    with pytest.raises(DataError, match="b.tar.gz exceeds the 3 MB that all archives together"):
        open_source([tmp_path])


def test_a_member_named_many_times_is_not_copied_for_each(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(entry("annotations/a") + entry("big", content=bytes(30 << 20)) + bytes(10240)))
    source = open_source([path])
    tracemalloc.start()
    pictures = [source.picture("big") for _ in range(1000)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pictures) == 1000 and peak < 1 << 20
    parts = list(pipeline._light(pictures[:5]))
    assert [len(part) for part in parts] == [1] * 5  # and no two of them are sent together


def test_a_file_cut_or_grown_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(entry("annotations/a") + entry("x", content=b"0123456789") + bytes(10240))
    member = open_source([path]).picture("x")
    assert member.read() == b"0123456789"
    path.write_bytes(path.read_bytes()[:1540])
    with pytest.raises(DataError, match="x is cut short: its archive changed while it was read"):
        member.read()
    monkeypatch.setattr(image_ref, "MAX_BYTES", 9)
    for large in (Picture("x", data=b"0123456789"), Picture("x", str(path))):
        with pytest.raises(DataError, match="x has more than 9 bytes"):
            large.read()


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_MEMBERS", 3)
    (tmp_path / "a.tar").write_bytes(b"".join(entry(f"annotations/{i}") for i in range(4)) + bytes(10240))
    with pytest.raises(DataError, match="its member 'annotations/3' exceeds the limit of 3 files"):
        open_source([tmp_path / "a.tar"])


def test_one_block_of_zeros_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(entry("annotations/a") + bytes(512))
    with pytest.raises(DataError, match="the end is missing"):
        open_source([tmp_path / "a.tar"])


def test_annotations_may_be_larger_than_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_ref, "MAX_BYTES", 9)
    root = write_source(tmp_path / "tiny")
    for path in (root, archive(root, tmp_path / "a.tar"), archive(root, tmp_path / "b.tar.gz")):
        assert len(open_source([path]).read("annotations/apples_train.json")) > 100
    with pytest.raises(DataError, match="000001.png has more than 9 bytes. Check that it is the right file"):
        prepare([tmp_path / "b.tar.gz"], tmp_path / "x.h5")
