"""Mutated headers of safetensors files: every reader refuses them in a sentence, with bounded memory."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.inference.export import export
from decathlon.inference.network_file import description, load_merged
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from decathlon.runs.trunk_source import find_trunk
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.tensor_files import read_tensors, write_tensors
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import slow
from tests.helpers.mutations import mutate
from tests.helpers.runs import RECIPE, go

EQUAL = "equal"
HUGE = (-1, 0, 1, 3, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**400)
DTYPES = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I8",
    "U8",
    "BOOL",
    "F8_E4M3",
    "F4",
    "F6_E2M3",
    "C64",
    "U64",
    "",
    "f32",
    "X",
    None,
    7,
)
Header = dict[str, Any]


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one domain, and beside it that domain's merged network."""
    folder = tmp_path_factory.mktemp("headers")
    made = go(tiny, folder / "run", "bn", recipe=RECIPE.override({"epochs": 1}), domains=("apples",))
    export(made, "apples", folder / "merged.safetensors", "safetensors")
    record = read_sealed(made.folder / "run.json", "")
    record.pop("files")  # without the SHA-256 of the files, which would detect any change
    write_sealed(made.folder / "run.json", record)
    return made


def parts(data: bytes) -> tuple[Header, bytes]:
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def joined(header: bytes, rest: bytes, length: int | None = None) -> bytes:
    size = len(header) if length is None else length
    return (size % 2**64).to_bytes(8, "little") + header + rest


def change_entry(header: Header, chance: random.Random) -> None:
    """Change what the header says of a tensor: its type, shape or place."""
    names = [name for name in header if name != "__metadata__"]
    name, other = chance.choice(names), chance.choice(names)
    entry, (begin, end) = header[name], header[name]["data_offsets"]
    odd = chance.choice(HUGE)
    changes: list[Callable[[], object]] = [
        lambda: entry.update(dtype=chance.choice(DTYPES)),
        lambda: entry.update(shape=[*entry["shape"], odd]),
        lambda: entry.update(shape=[odd, *entry["shape"][1:]]),
        lambda: entry.update(shape=[2**32, 2**32]),
        lambda: entry.update(shape=entry["shape"][::-1]),
        lambda: entry.update(shape=chance.choice(([], [1.0], None, "x", [[1]], [True], [0] * 5000, [1] * 70))),
        lambda: entry.update(data_offsets=[begin, odd]),
        lambda: entry.update(data_offsets=[odd, end]),
        lambda: entry.update(data_offsets=[begin + 4, end + 4]),
        lambda: entry.update(data_offsets=[end, begin]),
        lambda: entry.update(data_offsets=list(header[other]["data_offsets"])),
        lambda: entry.update(data_offsets=chance.choice(([], [begin], [begin, end, end], None, [0.5, 1.5], "x"))),
        lambda: header.update({name: header[other], other: entry}),
        lambda: header.update({name + "x": header.pop(name)}),
        lambda: header.update({f"more{odd}": entry}),
        lambda: entry.pop(chance.choice(list(entry))),
        lambda: header.pop(name),
    ]
    chance.choice(changes)()


def change_metadata(header: Header, chance: random.Random) -> None:
    """Change the text that the file says of itself, or what holds it."""
    held = header["__metadata__"]
    place = chance.randrange(len(held["about"]))
    changes: list[Callable[[], object]] = [
        lambda: held.update(about=chance.choice((7, None, [], {}, True, "", "[]", "1e400", "[" * 10**5, "\ud800"))),
        lambda: held.update(about=held["about"][:place]),
        lambda: held.update(about=held["about"][:place] + chance.choice("0 {x") + held["about"][place:]),
        lambda: held.update(about=json.loads(held["about"])),
        lambda: held.update(about=mutate(json.loads(held["about"]), place).decode(errors="replace")),
        lambda: held.update(more=chance.choice((7, None, "x"))),
        lambda: held.pop("about"),
        lambda: header.update(__metadata__=chance.choice((7, None, [], "x", {"about": {"about": "x"}}))),
    ]
    chance.choice(changes)()


def damaged(data: bytes, seed: int) -> bytes:
    """Return a file in whose header something is different, or which has it too long, too short or twice."""
    chance = random.Random(seed)
    header, rest = parts(data)
    text = json.dumps(header).encode()
    kind = chance.randrange(10)
    if kind == 0:
        return joined(text, rest, chance.choice((*HUGE, len(text) - 1, len(text) + 1, len(text) + len(rest) + 1)))
    if kind == 1:
        return joined(mutate(header, seed), rest)
    if kind == 2:
        spoilt = (
            b"", b"{}", b"[" * 10**5, b"\xff" * 9, text[:-1], text + b" " * 7, b" " + text, text + b"\0", text * 2,
            text[:-1] + b"," + text[1:], b"[" + text + b"]",
        )  # fmt: skip
        return joined(chance.choice(spoilt), rest)
    if kind == 3:
        return joined(text, chance.choice((rest[:-1], rest + b"\0", b"", rest * 2, rest[4:])))
    changed = copy.deepcopy(header)
    for _ in range(chance.choice((1, 1, 2))):
        _safely(change_metadata if kind < 6 else change_entry, changed, chance)
    return joined(json.dumps(changed).encode(), rest)


def _safely(change: Callable[[Header, random.Random], None], header: Header, chance: random.Random) -> None:
    try:
        change(header, chance)
    except (KeyError, TypeError, ValueError, AttributeError):  # an earlier change took away what this one changes
        header.clear()


READERS: dict[str, tuple[str, Callable[[Run, Path], object]]] = {
    "weights": (
        "run/domains/apples.safetensors",
        lambda run, file: load(run, run.read(), torch.device("cpu")).model,
    ),
    "trunk": ("run/trunk.safetensors", lambda run, file: find_trunk(str(run.folder), 0)),
    "merged": ("merged.safetensors", lambda run, file: (load_merged(file), description(file))),
}


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_header_is_refused_or_says_the_same(run: Run, reader: str, count: int) -> None:
    name, read = READERS[reader]
    file = run.folder.parent / name
    whole = file.read_bytes()
    mapped, said = read_tensors(file)
    before = {key: tensor.clone() for key, tensor in mapped.items()}  # not the file that is written over here

    def use(seed: int) -> str:
        file.write_bytes(damaged(whole, seed))

        def same() -> str:
            tensors, about = read_tensors(file)
            equal = tensors.keys() == before.keys() and about == said
            return EQUAL if equal and all(torch.equal(tensors[key], before[key]) for key in tensors) else "other"

        found = judged(same)
        assert judged(lambda: str(read(run, file)) and EQUAL) == found
        error = CliRunner().invoke(command, ["verify", str(file)]).exception
        strange = isinstance(error, UsageError) and found == REFUSED
        assert strange or isinstance(error, VerificationError | None) and (error is None) == (found == EQUAL), error
        return found

    try:
        came = forked(range(count), use)
    finally:
        file.write_bytes(whole)
    assert came.counts.keys() <= {REFUSED, EQUAL} and came.counts[REFUSED] > count * 0.8
    assert came.slowest < 5 and came.memory < 200 << 20


def test_a_whole_header_in_other_words_is_read(run: Run) -> None:
    """The negative control: taken apart and joined again, all readers take it."""
    for name, read in READERS.values():
        file = run.folder.parent / name
        whole = file.read_bytes()
        header, rest = parts(whole)
        file.write_bytes(joined(json.dumps(header, indent=1).encode(), rest))
        read(run, file)
        file.write_bytes(whole)


def test_a_file_without_metadata_says_nothing(run: Run, tmp_path: Path) -> None:
    header, rest = parts(run.trunk.read_bytes())
    del header["__metadata__"]
    (tmp_path / "x.safetensors").write_bytes(joined(json.dumps(header).encode(), rest))
    with pytest.raises(DataError, match="it has no metadata"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("count", [230_000, slow(30_000)])
def test_a_header_of_many_empty_tensors_is_refused_or_read_in_bounded_time(tmp_path: Path, count: int) -> None:
    file = tmp_path / "x.safetensors"
    tensors = (f'"t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(count))
    text = ('{"__metadata__":{"about":"{}"},' + ",".join(tensors) + "}").encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    came = forked([file], lambda file: judged(lambda: str(read_tensors(file))))
    assert came.counts == {REFUSED: 1} and came.slowest < 10 and came.memory < 300 << 20


@pytest.mark.parametrize("where", ["header", "metadata"])
def test_a_header_of_many_objects_is_not_parsed(tmp_path: Path, where: str) -> None:
    many = "[" + '{"":0},' * 2_000_000 + "0]"
    about = json.dumps({"__metadata__": {"about": f'{{"a": {"[" + "{}," * 3_000_000 + "0]"}}}'}})
    text = (f'{{"__metadata__":{{"about":"{{}}"}},"x":{many}}}' if where == "header" else about).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    came = forked([file], lambda file: judged(lambda: str(read_tensors(file))))
    assert came.counts == {REFUSED: 1} and came.slowest < 2 and came.memory < 150 << 20


def test_what_could_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decathlon.system.tensor_files.MOST", 49)
    with pytest.raises(UsageError, match="50 tensors are too many for"):
        write_tensors(tmp_path / "x.safetensors", {f"t{i}": torch.zeros(1) for i in range(50)}, {})
    assert not list(tmp_path.iterdir())
