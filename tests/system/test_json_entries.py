"""Long JSON read entry by entry says what the whole says, refuses what the whole refuses, and is never kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from decathlon.errors import DataError
from decathlon.system import json_entries
from decathlon.system.json_entries import SHORT, Room, entries
from decathlon.system.strict_json import LARGEST, parse_json
from tests.helpers.marks import quickly
from tests.helpers.mutations import mutate

WHOLE: dict[str, Any] = {
    "info": {"year": 2017, "a": [1, {"b": []}]}, "empty": [], "": [1, 2.5, -3e-7, None, True, "x"],
    "rows": [{"id": i, "name": f"ü{i}\n\"'\\", "box": [i, [i]]} for i in range(40)], "deep": [[[[[]]]], {}],
    "marks": ["}, {", {"x": {"y": {}}, "z": "]}"}, {}, [{"w": [{}]}, 1], {"}": 1}] * 5,
}  # fmt: skip


def whole(data: bytes, room: Room | None = None) -> Any:
    """Put what comes entry by entry together again."""
    found: dict[str | None, Any] = {}
    for key, position, value in entries(data, "it", room or Room(10**6, 10**6)):
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
    *_, (_, _, found) = entries(b'{"a": [{"id": 1, "long": "x"}]}', "it", Room(1, 3), {"id"})
    assert found == {"id": 1}


@pytest.mark.parametrize("block", [100, 1 << 20])
def test_an_entry_has_a_longest_length(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "_BLOCK", block)
    monkeypatch.setattr(json_entries, "_TOGETHER", 500)
    room = Room(100, 100, longest=1000)
    assert whole(json.dumps([["x" * 900]]).encode(), room) == [["x" * 900]]
    for long in (["x" * 2000], ["x"] * 500, {"a": list(range(500))}, "x" * 1001):
        for text in (json.dumps([1, long, 2]), json.dumps({"a": [], "b": {"c": long}})):
            with pytest.raises(
                DataError, match="^it has an entry of more than 1,000 characters. Check that it is the"
            ):
                whole(text.encode(), room)
    for damaged in (b'[{"x": }' + b" " * 3000, b'["x', b'["x\ny"]' + b" " * 3000, b"[[1 2]," + b"3," * 2000):
        with pytest.raises(DataError, match="^it is cut off or damaged"):
            whole(damaged, room)


LIMITS: dict[str, tuple[bytes, str]] = {
    "entries of all lists": (b'{"a": [1, 2], "foo": [0, 0, "]", "x"]}', "5 entries"),
    "entries of one kind": (b"[0, 1, 2, 3, 4, 5]", "5 entries"),
    "objects in an entry": (b'[{"a": [{}, {}, {"": 0}, {}]}]', "4 lists, objects and fractions"),
    "lists in an entry": (b"[[[], [[]], [], []]]", "4 lists, objects and fractions"),
    "fractions in an entry": (b'{"a": [[0.5, 1e3, -1.5, 2E-3, 0.0]]}', "4 lists, objects and fractions"),
    "objects under a key that is no list": (b'{"a": {"b": [{}, {}]}}', "4 lists, objects and fractions"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LIMITS)
def test_all_that_costs_is_counted(kind: str) -> None:
    text, most = LIMITS[kind]
    with pytest.raises(DataError, match=f"^it exceeds the limit of {most}. Check that it is the right file.$"):
        whole(text, Room(5, 4))


def test_several_files_share_one_room() -> None:
    room = Room(5, 100)
    whole(b"[1, 2, 3]", room)
    with pytest.raises(DataError, match="it exceeds the limit of 5 entries"):
        whole(b"[1, 2, 3]", room)


def test_an_object_has_a_limit_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_entries, "MOST_KEYS", 10)
    assert len(whole(json.dumps(dict.fromkeys(map(str, range(10)), 0)).encode())) == 10
    with pytest.raises(DataError, match="it has more than 10 keys. Check that it is the right file."):
        whole(json.dumps(dict.fromkeys(map(str, range(11)), 0)).encode())


@pytest.mark.parametrize("text", ["0,", '"\\ud83d\\ude00",', "[0,0],", "null,"])
def test_short_entries_are_read_together(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the end of an object looked for again for every one, in text of four bytes a character."""
    calls = 0
    real = json_entries._Reader.value

    def value(reader: Any) -> Any:
        nonlocal calls
        calls += 1
        return real(reader)

    monkeypatch.setattr(json_entries._Reader, "value", value)
    data = f'["\U0001f600",{text * 50_000}0]'.encode()
    assert len(whole(data)) == 50_002
    assert calls < 50_000 / 5


def test_where_entries_are_not_read_together_their_end_is_not_looked_for_again() -> None:
    reader = json_entries._Reader(b"", "it", Room(1, 1, SHORT), None)
    reader._text = '"' + "x" * (2 * json_entries._TOGETHER)
    assert reader._together() == [] and reader._tried == json_entries._TOGETHER


def test_the_lists_of_a_short_file_are_each_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, real = list[Any](), json_entries._Reader.value

    def value_alone(reader: json_entries._Reader) -> Any:
        alone.append(real(reader))
        return alone[-1]

    monkeypatch.setattr(json_entries._Reader, "value", value_alone)
    value = {key: [{"id": number} for number in range(50)] for key in ("images", "annotations", "categories")}
    assert whole(json.dumps(value).encode()) == value
    assert alone == list(value)  # the keys


def test_json_that_is_parsed_as_a_whole_has_a_largest_size() -> None:
    with pytest.raises(DataError, match="^it has more than 400,000 lists and objects. Check that it is the right"):
        parse_json(b"[" + b"{}," * 400_000 + b"0]", "it")
    text = b"[" + b" " * LARGEST + b"]"
    with pytest.raises(DataError, match=r"it has 4,194,306 bytes, the limit is 4,194,304. Check that"):
        parse_json(text, "it")
    assert whole(text) == []
