"""Long JSON read entry by entry says what the whole says, refuses what the whole refuses, and is never kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from decathlon.errors import DataError
from decathlon.system import json_entries
from decathlon.system.json_entries import entries
from decathlon.system.strict_json import LARGEST, parse_json
from tests.helpers.marks import quickly
from tests.helpers.mutations import mutate

WHOLE: dict[str, Any] = {
    "info": {"year": 2017, "a": [1, {"b": []}]}, "empty": [], "": [1, 2.5, -3e-7, None, True, "x"],
    "rows": [{"id": i, "name": f"ü{i}\n\"'\\", "box": [i, [i]]} for i in range(40)], "deep": [[[[[]]]], {}],
    "marks": ["}, {", {"x": {"y": {}}, "z": "]}"}, {}, [{"w": [{}]}, 1], {"}": 1}] * 5,
}  # fmt: skip


def whole(data: bytes) -> Any:
    """Put what comes entry by entry together again."""
    found: dict[str | None, Any] = {}
    for key, position, value in entries(data, "it"):
        if position < 0:
            assert key not in found
            found[key] = value
        else:
            assert position == len(found[key])
            found[key].append(value)
    return found[None] if None in found else found


def either(read: Any, data: bytes) -> Any:
    try:
        return json.dumps(read(data))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("block", [4, 7, 100, 1 << 20])
@pytest.mark.parametrize("encoding", quickly(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"], "utf-8"))
@pytest.mark.parametrize("value", [WHOLE, list(WHOLE.values()), {}, [], 7, -1.5, "x", None, [123456789] * 5])
def test_the_entries_are_the_whole(value: Any, encoding: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "_BLOCK", block)
    for indent, together in ((None, 1 << 16), (1, 1 << 16), (None, 20), (None, 50)):
        monkeypatch.setattr(json_entries, "_TOGETHER", together)
        assert whole(json.dumps(value, indent=indent, ensure_ascii=bool(indent)).encode(encoding)) == value


@pytest.mark.parametrize("block", quickly([20, 1 << 20], 1 << 20))
def test_what_the_parser_refuses_is_refused_in_its_words(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "_BLOCK", block)
    texts = [mutate(WHOLE, seed) for seed in range(300)]
    texts += [
        b"", b" \n", b"{", b"[", b"[1", b"[1,", b"[1,]", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}',
        b"[1] [2]", b"{} x", b"[01]", b"[1 2]", b'{"a" 1}', b"{1: 2}", b'{"a": 1, "a": 2}', b'{"a": [], "a": []}',
        b'[{"x": 1, "x": 1}]', b"[NaN]", b'{"a": Infinity}', b'{"a": [1e400]}', b'["\\ud800"]', b'{"\\udc00": 1}',
        b'["\\ud83d\\ude00"]', b"[" * 100_000, b'{"a":' * 100_000, b'[\n1,\n{"x": }]', b'["\xff"]', b"\xff\xfe[",
        b"[1" + b"0" * 5000 + b"]", b'["a\nb"]', b"tru", b"[tru]", b"{,}", b"[\0]",
    ]  # fmt: skip
    same = 0
    for text in texts:
        one, two = either(whole, text), either(lambda data: parse_json(data, "it"), text)
        same += one == two
        assert one == two or (one.startswith("it ") and two.startswith("it ")), text[:200]
    assert same > 0.95 * len(texts)  # of two faults in one text either may be found first


def test_only_the_keys_that_are_kept_take_memory() -> None:
    *_, (_, _, found) = entries(b'{"a": [{"id": 1, "long": "x"}]}', "it", {"id"})
    assert found == {"id": 1}


def test_an_entry_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "LONGEST", 1000)
    monkeypatch.setattr(json_entries, "_BLOCK", 100)
    assert whole(json.dumps([["x" * 900]]).encode()) == [["x" * 900]]
    with pytest.raises(DataError, match="it is cut off or damaged"):
        whole(json.dumps([["x" * 2000]]).encode())


def test_json_that_is_parsed_as_a_whole_has_a_largest_size() -> None:
    text = b"[" + b" " * LARGEST + b"]"
    with pytest.raises(DataError, match=r"it has 4,194,306 bytes, the limit is 4,194,304. Check that"):
        parse_json(text, "it")
    assert whole(text) == []
