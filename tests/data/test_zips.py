"""Zips that are damaged, encrypted, or lie: one sentence, and no more memory than the limit."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decathlon.data.ground_truth import read_truth
from decathlon.data.zips import DIRECTORY
from decathlon.errors import DataError
from decathlon.scoring.results import read_results
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import quickly
from tests.helpers.mutations import flip

METHODS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
ROWS = [{"image_id": i, "category_id": 1} for i in range(300)]
TRUTH = {
    "images": [{"id": i} for i in range(300)], "annotations": ROWS, "categories": [{"id": 1}],
}  # fmt: skip
READ: dict[str, tuple[Callable[[Path], Any], str, object]] = {
    "results": (read_results, "results.json", ROWS), "truth": (read_truth, "a_test.json", TRUTH),
}  # fmt: skip


def packed(name: str, value: object, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, json.dumps(value))
    return out.getvalue()


def changed(data: bytes, local: dict[int, bytes] | None = None, central: dict[int, bytes] | None = None) -> bytes:
    """Write over bytes of the header before the one member and of its entry in the table of contents."""
    out = bytearray(data)
    for begin, changes in ((0, local or {}), (data.rindex(b"PK\1\2"), central or {})):
        for at, new in changes.items():
            out[begin + at : begin + at + len(new)] = new
    return bytes(out)


FLAG, BAD, UNKNOWN = b"\x00\x08", b"\xff\xfe\xff", struct.pack("<H", 97)
LIES: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": lambda data: changed(data, {6: b"\1"}, {8: b"\1"}),
    "name not UTF-8": lambda data: changed(data, {6: FLAG, 30: BAD}, {8: FLAG, 46: BAD}),
    "name not UTF-8 in the file alone": lambda data: changed(data, {6: FLAG, 30: BAD}),
    "unknown compression": lambda data: changed(data, {8: UNKNOWN}, {10: UNKNOWN}),
    "a version of the future": lambda data: changed(data, None, {6: b"\xff\0"}),
    "zip64 without its sizes": lambda data: changed(data, None, {20: b"\xff" * 8}),
    "longer than the file": lambda data: changed(data, None, {20: struct.pack("<LL", 1 << 30, 1000)}),
    "beyond the end": lambda data: changed(data, None, {42: struct.pack("<L", 1 << 30)}),
    "an end that points elsewhere": lambda data: data[:-10] + struct.pack("<LLH", 1 << 19, 1 << 30, 0),
    "a long table of contents": lambda data: data[:-10] + struct.pack("<LLH", DIRECTORY + 1, 0, 0),
    "a zip64 end": lambda data: data[:-22] + b"PK\6\7" + bytes(16) + data[-22:],
    "cut": lambda data: data[:-30],
    "the end alone": lambda data: b"PK\3\4" + data[-15:],
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("lie", LIES)
def test_a_zip_that_lies_is_one_sentence(tmp_path: Path, lie: str, kind: str) -> None:
    read, name, value = READ[kind]
    path = tmp_path / "x.zip"
    path.write_bytes(LIES[lie](packed(name, value)))
    with pytest.raises(DataError) as end:
        read(path)
    assert str(path) in str(end.value) and "\n" not in str(end.value) and str(end.value).endswith(".")


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("method", quickly(METHODS, zipfile.ZIP_STORED))
def test_flipped_bits_are_refused_or_change_nothing(tmp_path: Path, kind: str, method: int) -> None:
    read, name, value = READ[kind]
    path, data = tmp_path / "x.zip", packed(name, value, method)
    path.write_bytes(data)
    whole = repr(read(path))

    def use(seed: int) -> str:
        path.write_bytes(flip(data, seed))
        return judged(lambda: "same" if repr(read(path)) == whole else "other")

    came = forked(range(150), use)
    assert came.counts.keys() <= {REFUSED, "same"} and came.counts[REFUSED] > 75


@pytest.mark.parametrize("kind", quickly(READ, "results"))
def test_a_member_that_says_it_is_short_is_not_unpacked_to_its_end(tmp_path: Path, kind: str) -> None:
    read, name, _ = READ[kind]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b" " * (100 << 20))
    path = tmp_path / "x.zip"
    path.write_bytes(changed(out.getvalue(), None, {24: struct.pack("<L", 1000)}))
    came = forked([path], lambda path: judged(lambda: str(read(path))))
    assert came.words == [REFUSED] and came.memory < 50 << 20


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_in_bounded_memory_is_refused(tmp_path: Path, kind: str, method: int) -> None:
    read, name, value = READ[kind]
    (tmp_path / "x.zip").write_bytes(packed(name, value, method))
    with pytest.raises(
        DataError, match=rf"x.zip:{name} is compressed by another method than deflate. Zip it again with deflate.$"
    ):
        read(tmp_path / "x.zip")


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    ("lie", "fix"),
    [
        ("encrypted", "is encrypted. Zip it again without a password."),
        ("unknown compression", "Zip it again with deflate."),
        ("a long table of contents", "too long a table of contents. Zip the few files that are read, alone."),
        ("cut", "again."),
    ],
)
def test_the_remedy_of_an_intact_zip_is_not_to_copy_it_again(tmp_path: Path, kind: str, lie: str, fix: str) -> None:
    read, name, value = READ[kind]
    (tmp_path / "x.zip").write_bytes(LIES[lie](packed(name, value)))
    with pytest.raises(DataError) as end:
        read(tmp_path / "x.zip")
    assert str(end.value).endswith(fix) and (" copy it again" in str(end.value).lower()) == (lie == "cut")
