"""Small files that unpack to much: results, ground truth, annotations, other JSON; in bounded memory and time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data import ground_truth, truth_file
from decathlon.data.ground_truth import read_truth
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
    monkeypatch.setattr(ground_truth, "MOST_ENTRIES", 10)
    monkeypatch.setattr(truth_file, "MOST_ENTRIES", 10)
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
    with pytest.raises(DataError, match="b_test.json exceeds the limit of 10 entries"):
        read_truth(tmp_path)


def test_a_file_of_lines_is_not_split_into_a_list(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"image_id":1,"category_id":1}\n' + b"\n" * (60 * MIB))
    came = forked([path], lambda path: judged(lambda: str(read_results(path))))
    assert came.words == [REFUSED] and came.memory < 200 * MIB
