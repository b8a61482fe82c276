"""Small files that unpack to much: results, ground truth, annotations, other JSON; in bounded memory and time."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data import ground_truth, truth_file
from decathlon.data.ground_truth import check_stripped, read_truth
from decathlon.data_prep.sources.coco_json import parse_coco
from decathlon.errors import DataError
from decathlon.scoring import results
from decathlon.scoring.results import read_results
from decathlon.system.checksums import read_sealed
from decathlon.system.files import read_json
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import quickly

MIB = 1 << 20
SIZE = 9 * MIB  # some hundred times as much in objects
SMALL = {
    "lists": b"[],",
    "empty objects": b"{},",
    "objects": b'{"":0},',
    "numbers": b"0,",
    "rows": b'{"id":1},',
}


def bomb(path: Path, name: str, piece: bytes, size: int, begin: bytes = b"[", end: bytes = b"0]") -> Path:
    """Write a zip of one file of the same piece again and again."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, begin + piece * (size // len(piece)) + end)
    return path


@pytest.mark.parametrize("kind", quickly(SMALL, "lists"))
def test_small_pieces_do_not_become_many_objects(tmp_path: Path, kind: str) -> None:
    piece = SMALL[kind]
    made = {
        "results": bomb(tmp_path / "results.zip", "results.json", piece, SIZE),
        "truth": bomb(tmp_path / "t.zip", "a_test.json", piece, SIZE, b'{"other": [', b'0], "images": 0}'),
        "ids": bomb(tmp_path / "i.zip", "a_test.json", piece, SIZE, b'{"images": ['),
    }
    (tmp_path / "run.json").write_bytes(b"[" + piece * (2 * SIZE // len(piece)) + b"0]")
    uses: dict[str, Callable[[], object]] = {
        "results": lambda: read_results(made["results"]), "truth": lambda: read_truth(made["truth"]),
        "ids": lambda: read_truth(made["ids"]), "record": lambda: read_sealed(tmp_path / "run.json", ""),
        "json": lambda: read_json(tmp_path / "run.json"),
        "annotations": lambda: parse_coco((tmp_path / "run.json").read_bytes(), "it"),
    }  # fmt: skip
    came = forked(uses, lambda use: judged(lambda: str(uses[use]())[:9]))
    assert came.counts == {REFUSED: len(uses)} and came.memory < 100 * MIB and came.slowest < 10


IGNORED = SMALL | {
    "fractions": b"0.0,",
    "texts": b'"},",',
    "wide texts": '"\U0001f600",'.encode(),
    "escapes": b'"\\ud83d\\ude00",',
    "lists of texts": b'["],",0],',
}


def _rows(piece: bytes, size: int, row: bytes, between: bytes = b",") -> bytes:
    """Return good rows with the same piece again and again under a key that nobody reads."""
    long = b'"x":[' + piece * (60_000 // len(piece)) + b"0]"
    return between.join(row % i + long + b"}" for i in range(10**7 + 1, 10**7 + 1 + size // len(long)))


def _domain(index: int, pad: bytes) -> bytes:
    one = b"%d0000001" % index
    return (
        b'{%s"images":[{"id":%s}],"annotations":[{"image_id":%s,"category_id":%s}],"categories":[{"id":%s}]}'
    ) % (pad, one, one, one, one)


def _valid(folder: Path, piece: bytes, size: int) -> dict[str, Callable[[], object]]:
    """Write what is good but for ignored values; return how each is read."""
    row, answer = b'{"image_id":%d,"category_id":10000001,', b'{"id":%d,'
    pad = b'"foo":[' + piece * (size // 12 // len(piece)) + b"0],"
    archive = folder / "truth.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for index in range(1, 12):
            file.writestr(f"d{index}_test.json", _domain(index, pad))
    alone, stripped = folder / "a_test.json", folder / "a_test_stripped.json"
    alone.write_bytes(b'{"images":[' + _rows(piece, size, answer) + b"]}")
    stripped.write_bytes(b'{"foo":[' + piece * (size // len(piece)) + b'0],"images":[]}')
    (folder / "results.json").write_bytes(b"[" + _rows(piece, size, row) + b"]")
    (folder / "results.jsonl").write_bytes(_rows(piece, size, row, b"\n"))
    return {
        "rows": lambda: read_results(folder / "results.json"),
        "lines": lambda: read_results(folder / "results.jsonl"),
        "members": lambda: read_truth(archive),
        "entries": lambda: read_truth(alone),
        "stripped": lambda: check_stripped(stripped),
        # they may have 1 GiB, which takes longer however good it is
        "annotations": lambda: parse_coco(stripped.read_bytes()[: size // 16], "it"),
    }


@pytest.mark.parametrize("kind", quickly(IGNORED, "objects"))
def test_what_is_ignored_in_good_entries_costs_no_more(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    slow = request.node.get_closest_marker("slow")
    size = (min(results.LARGEST, ground_truth.LARGEST) if slow else 6 * MIB) * 98 // 100
    uses = _valid(tmp_path, IGNORED[kind], size)

    def use(name: str) -> str:
        began = time.process_time()
        word = judged(lambda: str(bool(uses[name]())))
        return f"{word} {time.process_time() - began:.1f}"

    came = forked(uses, use)
    print(kind, dict(zip(uses, came.words, strict=True)))
    assert came.memory < 3 * size + 100 * MIB and came.slowest < 10


@pytest.mark.slow
def test_as_many_rows_as_a_file_may_hold(tmp_path: Path) -> None:
    """The most that is read before it is refused: a million rows, one and a half million entries."""
    rows = b",".join(b'{"image_id":%d,"category_id":1}' % i for i in range(results.MOST_ROWS))
    with zipfile.ZipFile(tmp_path / "results.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results.json", b"[" + rows + b"]")
    half = truth_file.MOST_ENTRIES // 2 - 10
    with zipfile.ZipFile(tmp_path / "truth.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        images = b",".join(b'{"id":%d}' % i for i in range(half))
        answers = b",".join(b'{"image_id":%d,"category_id":1}' % i for i in range(half))
        archive.writestr(
            "a_test.json", b'{"images":[%s],"annotations":[%s],"categories":[{"id":1}]}' % (images, answers)
        )
    uses: dict[str, Callable[[], object]] = {
        "results": lambda: read_results(tmp_path / "results.zip"),
        "truth": lambda: read_truth(tmp_path / "truth.zip"),
    }
    came = forked(uses, lambda use: str(bool(uses[use]())))
    assert came.counts == {"True": 2}


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_ROWS", 10)
    monkeypatch.setattr(ground_truth, "MOST_ENTRIES", 13)
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": i, "category_id": 1} for i in range(11)]))
    with pytest.raises(
        DataError, match="results.json exceeds the limit of 10 entries. Check that it is the right file."
    ):
        read_results(path)
    for name in "ab":  # together they are too many
        images = [{"id": 10 * (name == "b") + i} for i in range(3)]
        answers = [{"image_id": image["id"], "category_id": 1} for image in images]
        whole = {"images": images, "annotations": answers, "categories": [{"id": 1}]}
        (tmp_path / f"{name}_test.json").write_text(json.dumps(whole))
    with pytest.raises(DataError, match="b_test.json exceeds the limit of 13 entries"):
        read_truth(tmp_path)


def test_a_file_of_lines_is_not_split_into_a_list(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"image_id":1,"category_id":1}\n' + b"\n" * (60 * MIB))
    came = forked([path], lambda path: judged(lambda: str(read_results(path))))
    assert came.words == [REFUSED] and came.memory < 200 * MIB
