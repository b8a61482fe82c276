"""Lines of metrics and timing: read one by one, as few and as small as training can write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from decathlon.errors import DataError
from decathlon.runs import logs
from decathlon.runs.logs import TIMING, read_lines, read_metrics
from tests.helpers.forked import REFUSED, forked, judged

LINE = b'{"epoch": 1, "images": 2, "seconds": 0.5, "domains": ["boats"]}\n'
BOMBS = {
    "empty lines": b"\n" * logs.LARGEST,
    "too large": b"\n" * (logs.LARGEST + 1),
    "objects": LINE[:-2] + b', "x": [' + b'{"":0},' * 450_000 + b"0]}\n",
    "objects in many lines": (LINE[:-2] + b', "x": [' + b'{"":0},' * 500 + b"0]}\n") * 1000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_training_cannot_have_written_is_not_kept(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "timing.jsonl"
    file.write_bytes(BOMBS[kind])
    readers = [lambda: read_lines(file, TIMING), lambda: read_metrics(file)]
    came = forked(readers, lambda read: judged(lambda: str(len(read()))))
    assert came.counts == {REFUSED: 2} and came.memory < 200 << 20 and came.slowest < 5


def test_lines_end_as_they_do_on_any_system(tmp_path: Path) -> None:
    file = tmp_path / "timing.jsonl"
    for text in (LINE * 3, (LINE * 3)[:-1], LINE.replace(b"\n", b"\r\n") * 3):
        file.write_bytes(text)
        assert [row["images"] for row in read_lines(file, TIMING)] == [2, 2, 2]
    file.write_bytes(LINE + b"\n" + LINE)
    with pytest.raises(DataError, match="^line 2 of .*timing.jsonl is empty"):
        read_lines(file, TIMING)
