"""The description in a .pt2 or .onnx file is found, or refused in a sentence; nothing in the file is run."""

from __future__ import annotations

import contextlib
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from decathlon.errors import DataError
from decathlon.inference.graph_formats import read_metadata, write_program
from decathlon.inference.network_file import description

ABOUT = {"domain": "apples", "names": ["é", "x"]}
TOLD = "archive/extra/decathlon.json"
CONSTANTS = "archive/data/constants/"


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is in a file of ours, by name."""
    file = tmp_path_factory.mktemp("program") / "a.pt2"
    write_program(file, nn.Conv2d(3, 4, 3).eval(), torch.zeros(2, 3, 8, 8), ABOUT)
    assert read_metadata(file) == ABOUT
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


class Touch:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.file,)


def test_what_is_pickled_in_a_file_is_not_run(members: dict[str, bytes], tmp_path: Path) -> None:
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    evil = members | {
        CONSTANTS + "model_constants_config.json": json.dumps({"config": {"x": payload}}).encode(),
        CONSTANTS + "opaque_obj_0": pickle.dumps(Touch(tmp_path / "ran")),
    }
    file = write(tmp_path / "evil.pt2", evil)
    assert read_metadata(file) == ABOUT
    assert not (tmp_path / "ran").exists()
    with contextlib.suppress(Exception), file.open("rb") as opened:  # the negative control
        torch.export.load(opened)
    assert (tmp_path / "ran").exists()


def test_a_bomb_is_refused_in_little_memory(members: dict[str, bytes], tmp_path: Path) -> None:
    bomb = members | {"archive/data/weights/weight_0": bytes(64 << 20)}
    file = write(tmp_path / "bomb.pt2", bomb, zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(DataError, match="compressed or overlap"):
        description(file)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_members_that_lie_on_one_another_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    file = tmp_path / "overlap.pt2"
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (members | {"archive/data/weights/weight_0": bytes(100_000)}).items():
            archive.writestr(name, data)
        large = archive.getinfo("archive/data/weights/weight_0")
        for number in range(100):  # further names for the same bytes
            twin = zipfile.ZipInfo(f"archive/data/weights/weight_{number + 10}")
            twin.header_offset, twin.CRC = large.header_offset, large.CRC
            twin.file_size = twin.compress_size = large.file_size
            archive.filelist.append(twin)
    with pytest.raises(DataError, match="compressed or overlap"):
        description(file)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (b'{"domain": 1, "domain": 2}', "duplicate key"),
        (b'{"domain": NaN}', "NaN is not a number"),
        (b"[1]", "not a JSON object"),
        (b"{" + b" " * (1 << 20) + b"}", "its description exceeds 1 MiB"),
        (None, "has no description"),
        (json.dumps(ABOUT).encode(), "is not a merged network"),
        (b'{"format": "decathlon-merged-1"}', "domain is missing"),
    ],
)
def test_a_description_that_is_none_is_refused(
    members: dict[str, bytes], tmp_path: Path, told: bytes | None, words: str
) -> None:
    changed = {name: data for name, data in members.items() if name != TOLD}
    file = write(tmp_path / "odd.pt2", changed | ({} if told is None else {TOLD: told}))
    with pytest.raises(DataError, match=words):
        description(file)


def test_damage_and_other_files_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    file = write(tmp_path / "a.pt2", members)
    whole = file.read_bytes()
    at = whole.index(members["archive/data/weights/weight_0"])
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(DataError, match="archive/data/weights/weight_0 does not match its checksum"):
        description(file)
    for data in (b"", b"words", whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(DataError, match="not a torch-export file"):
            description(file)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"decathlon": '{"a": 1, "a": 2}'}, "duplicate key"),
        ({"decathlon": "[1]"}, "not a JSON object"),
        ({"decathlon": " " * (1 << 20) + "{}"}, "exceeds 1 MiB"),
        ({"other": "{}"}, "has no description"),
        ({"decathlon": "{}"}, "is not a merged network"),
    ],
)
def test_a_description_in_onnx_is_read_as_strictly(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    onnx = pytest.importorskip("onnxscript") and pytest.importorskip("onnx")
    model = onnx.ModelProto()
    onnx.helper.set_model_props(model, entries)
    file = tmp_path / "a.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=message):
        description(file)
    if entries == {"decathlon": "{}"}:
        assert read_metadata(file) == {}


def test_damaged_and_foreign_onnx_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnxscript") and pytest.importorskip("onnx")
    model = onnx.ModelProto(ir_version=8)
    onnx.helper.set_model_props(model, {"decathlon": json.dumps(ABOUT), "other": "é"})
    whole, file = model.SerializeToString(), tmp_path / "a.onnx"
    file.write_bytes(whole)
    assert read_metadata(file) == ABOUT
    for place in range(len(whole)):  # every shorter file, and a wrong byte anywhere: refused in a sentence or read
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
            file.write_bytes(data)
            with pytest.raises(DataError, match=r"[.?]$"):
                description(file)
    monkeypatch.setattr("decathlon.inference.graph_formats.ONNX_LARGEST", 10)
    with pytest.raises(DataError, match="limit of 2 GiB"):
        description(file)
