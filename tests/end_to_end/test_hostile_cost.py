"""What hostile files cost: every command that reads one ends in a sentence, under 1 GB and 10 processor seconds."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from decathlon.inference.predict import predict_run
from decathlon.runs.record import RecordedTrunk
from tests.data.test_packed_structure import ATTACKS, FACTS, SECRET, put_split
from tests.end_to_end.test_hostile_json import MIB, bomb
from tests.helpers.machine import CODE
from tests.helpers.packs import TINY, put_facts, write_truth
from tests.helpers.runs import RECIPE, go

PACKS = (
    "data info FILE",
    "data check FILE",
    "verify FILE",
    "predict RUN --data FILE -o OUT",
    "score RUN --truth FILE",
)
STRUCTURES = ("external storage", "endless virtual", "pipe behind a link", "500 million pixels", "a chunk of 4 GiB")
CLASSES = ("long category", "a million classes", "20,000 domains")
SIZES = {"1 x 65535": (1, 65_535), "0 pixels": (0, 9)}


@pytest.fixture(scope="module")
def places(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of the hostile files, and a run to use them with."""
    folder = tmp_path_factory.mktemp("hostile")
    run = go(tiny, folder / "run", recipe=RECIPE.override({"epochs": 1}))
    predict_run(run, tiny, "test", run.folder / "results.json")
    shutil.copytree(run.folder, folder / "named")
    replace(run.read(), trunk=RecordedTrunk("wrn-10-400")).write(folder / "named")
    (folder / "secret").write_bytes(SECRET)
    os.mkfifo(folder / "pipe")
    shutil.copy(tiny, folder / "other.h5")
    with h5py.File(folder / "other.h5", "r+") as other:
        other["x"] = np.frombuffer(SECRET, np.uint8)
    return {
        "OUT": folder / "out.json",
        "FOLDER": folder,
        "RUN": run.folder,
        "TRUTH": write_truth(folder / "truth"),
        "NAMED": folder / "named",
    }


def cost(places: dict[str, Path], words: str) -> tuple[int, float, float]:
    """Run a command; return its exit code, processor seconds and MiB at its peak."""
    asked = [str(places.get(word, word)) for word in words.split()]
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *asked], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert "Traceback" not in said and "internal error" not in said, said
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def attacked(tiny: Path, places: dict[str, Path], name: str) -> Path:
    path = Path(shutil.copy(tiny, places["FOLDER"] / "x.h5"))
    if name in ATTACKS:
        with h5py.File(path, "r+") as file:
            ATTACKS[name][0](file, places["FOLDER"])
    elif name in FACTS:
        facts = TINY.to_json()
        FACTS[name][0](facts)
        put_facts(path, json.dumps(facts).encode(), seal=True)
    else:
        path.unlink()
        put_split(path, *SIZES[name])
    return path


def judge(rows: dict[str, tuple[int, float, float]]) -> None:
    for words, (code, seconds, memory) in rows.items():
        print(f"{words:60} exit {code}, {seconds:4.1f} s, {memory:4.0f} MiB")  # pytest -rP
    assert all(code in (2, 3, 4) or "65535: data info" in words for words, (code, _, _) in rows.items())
    assert all(seconds < 10 and memory < 1000 for _, seconds, memory in rows.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STRUCTURES, *CLASSES, *SIZES])
def test_packed_files(tiny: Path, places: dict[str, Path], name: str) -> None:
    places = places | {"FILE": attacked(tiny, places, name)}
    judge({f"{name}: {words}": cost(places, words) for words in PACKS})


@pytest.mark.slow
def test_weights(tiny: Path, places: dict[str, Path]) -> None:
    file = places["FOLDER"] / "weights.safetensors"
    tensors = ",".join(f'"t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(230_000))
    head = f'{{"__metadata__":{{"about":"{{}}"}},{tensors}}}'.encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    rows = {f"230,000 empty tensors: {words}": words for words in ("verify FILE",)}
    rows |= {
        f"wrn-10-400 in run.json: {words}": words for words in ("verify NAMED", "predict NAMED --data TINY -o OUT")
    }
    found = {name: cost(places | {"FILE": file, "TINY": tiny}, words) for name, words in rows.items()}
    judge(found)
    assert {code for code, _, _ in found.values()} == {4}  # a missing file would be another


JSON: dict[str, tuple[str, str, Callable[[Path], Path]]] = {
    "results of lists": ("score FILE --truth TRUTH", "r.zip", lambda p: bomb(p, "results.json", b"[],", 190 * MIB)),
    "results of objects": ("score FILE --truth TRUTH", "o.zip", lambda p: bomb(p, "r.json", b'{"":0},', 190 * MIB)),
    "truth of lists": (
        "score RUN --truth FILE", "t.zip",
        lambda p: bomb(p, "a_test.json", b"[],", 190 * MIB, b'{"other": [', b'0], "images": 0}'),
    ),
    "score.json of lists": ("verify FILE", "score.json", lambda p: _plain(p, b'{"score": [', 4 * MIB - 20)),
    "results.json of lists": ("verify FILE", "results.json", lambda p: _plain(p, b"[", 190 * MIB)),
}  # fmt: skip


def _plain(path: Path, begin: bytes, size: int) -> Path:
    path.write_bytes(begin + b"[]," * (size // 3) + (b"0]}" if begin.startswith(b"{") else b"0]"))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON)
def test_json(places: dict[str, Path], name: str) -> None:
    words, file, make = JSON[name]
    path = make(places["FOLDER"] / file)
    judge({f"{name}: {words}": cost(places | {"FILE": path}, words)})
    path.unlink()
