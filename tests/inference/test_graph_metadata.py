"""The description of a .pt2 file: nothing in the file is run, whatever it holds and however large it says it is."""

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
from decathlon.inference.graph_formats import read_about, write_program
from decathlon.inference.network_file import description

ABOUT = {"domain": "apples", "names": ["é", "x"]}
TOLD = "archive/extra/decathlon.json"
CONSTANTS = "archive/data/constants/"


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is in a file of ours, by name."""
    file = tmp_path_factory.mktemp("program") / "a.pt2"
    write_program(file, nn.Conv2d(3, 4, 3).eval(), torch.zeros(2, 3, 8, 8), ABOUT)
    assert read_about(file) == ABOUT
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
    assert read_about(file) == ABOUT
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
        (b"{" + b" " * (1 << 20) + b"}", "its description has 1,048,578 bytes"),
        (None, "holds no description"),
        (json.dumps(ABOUT).encode(), "no merged network of this release"),
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
    with pytest.raises(DataError, match="the checksum of archive/data/weights/weight_0"):
        description(file)
    for data in (b"", b"words", whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(DataError, match="no torch-export file"):
            description(file)


def test_a_description_of_onnx_is_strict_too(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for told, words in (('{"a": 1, "a": 2}', "duplicate key"), ("[1]", "not a JSON object"), ("{}", "")):
        model = onnx.ModelProto()
        onnx.helper.set_model_props(model, {"decathlon": told})
        (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
        if not words:
            assert read_about(tmp_path / "a.onnx") == {}
            continue
        with pytest.raises(DataError, match=words):
            description(tmp_path / "a.onnx")


def test_the_graph_of_an_onnx_file_is_not_parsed(tmp_path: Path) -> None:
    """Every node takes two bytes in the file, and some 150 where it is parsed."""
    onnx = pytest.importorskip("onnx")
    tail = onnx.ModelProto(ir_version=8, producer_name="x")
    onnx.helper.set_model_props(tail, {"decathlon": json.dumps(ABOUT), "other": "é"})
    nodes = b"\x0a\x00" * (1 << 15)
    file = tmp_path / "a.onnx"
    file.write_bytes(b"\x3a\x80\x80\x04" + nodes + tail.SerializeToString())
    assert len(onnx.load(file).graph.node) == 1 << 15  # the negative control: it is such a file
    assert read_about(file) == ABOUT
    for number in range(300):  # cut or with another byte, it is refused in a sentence or read
        whole = tail.SerializeToString()
        place = number * len(whole) // 300
        for data in (whole[:place], whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
            file.write_bytes(data)
            with contextlib.suppress(DataError):
                description(file)


def test_metadata_without_end_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "a.onnx").write_bytes(b"".join(b"\x72\x03\x0a\x01" + bytes([65 + i % 60]) for i in range(10**5)))
    with pytest.raises(DataError, match="stands twice, or there are too many"):
        description(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"\x72\x81\x80\x40" + bytes(1 << 20) + b"\0")
    with pytest.raises(DataError, match="its description has 1,048,577 bytes"):
        description(tmp_path / "a.onnx")
