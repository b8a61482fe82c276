"""Odd paths and streams: what is named strangely works, what cannot be read or written is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from decathlon.data.ground_truth import read_truth
from decathlon.errors import DataError, DecathlonError
from decathlon.experiments.resume import resume
from decathlon.inference.predict import predict_run
from decathlon.runs.run_directory import Run
from decathlon.scoring.results import read_results
from decathlon.system.files import read_bytes
from decathlon.system.progress import TrainingProgress
from tests.helpers.machine import decathlon, refused
from tests.helpers.marks import quickly
from tests.helpers.packs import write_pack, write_truth
from tests.helpers.runs import RECIPE, dying_at, go

OPTIONS = "--method bn --trunk wrn-10-1 --epochs 1 --batch 8 --size 16".split()
NFC = unicodedata.normalize("NFC", "é ü")
NAMES = ["with space", NFC, unicodedata.normalize("NFD", NFC), "日本 'quoted' \"twice\"", "[b] $x;", "n" * 200]


@pytest.mark.parametrize("name", quickly(NAMES, *NAMES[2:4]))
def test_a_strange_folder_is_a_folder(tmp_path: Path, name: str) -> None:
    """A run is trained, predicted and scored below it, through a link to it."""
    (tmp_path / "real" / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    root = tmp_path / "link" / name
    data = write_pack(root / "tiny.h5")
    run = go(data, root / "run", domains=("apples",))
    predict_run(run, data, "test", root / "results.json")
    assert len(read_results(root / "results.json").image_ids) == 12
    assert {path.name for path in root.iterdir()} >= {"run", "results.json", "results.protocol.json"}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp437"])
def test_a_terminal_that_cannot_show_a_name_is_no_failure(tmp_path: Path, encoding: str) -> None:
    data = write_pack(tmp_path / "日本.h5")
    env = {
        "LANG": "C",
        "LC_ALL": "C",
        "PYTHONIOENCODING": encoding,
        "COLUMNS": "20",
        "TZ": "Nowhere/Odd",
        "TERM": "",
    }
    for words in (
        ["data", "info", data],
        ["leaderboard"],
        ["train", "--data", data, *OPTIONS, "-o", tmp_path / "é"],
    ):
        done = decathlon(*words, env=env)
        assert done.returncode == 0, done.stderr
    assert refused(decathlon("data", "info", tmp_path / "無.h5", env=env), 3).startswith("cannot open ")


@pytest.mark.slow
def test_a_name_that_is_not_unicode_is_refused_where_it_would_be_written(tmp_path: Path) -> None:
    data = write_pack(tmp_path / os.fsdecode(b"a\xff.h5"))
    assert decathlon("data", "info", data).returncode == 0
    said = refused(decathlon("train", "--data", data, *OPTIONS, "-o", tmp_path / "run"), 2)
    assert said.endswith("a\\udcff.h5' is not valid UTF-8. Rename it.")


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match=f"cannot read {path}: it is not a regular file"):
            read_bytes(path)
        with pytest.raises(DataError, match="it is not a regular file"):
            read_truth(path)
    with pytest.raises(DataError, match="Is a directory"):
        read_bytes(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(DataError, match="No such file"):
        read_bytes(tmp_path / "dangling")
    assert read_bytes(write_truth(tmp_path / "truth") / "boats_test.json")


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "start.safetensors"])
def test_a_folder_where_a_file_of_a_run_should_be_is_one_sentence(tiny: Path, tmp_path: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch, dying_at(patch, 4):
        go(tiny, tmp_path / "run", recipe=RECIPE, domains=("apples",))
    run = Run(tmp_path / "run")
    (run.folder / name).unlink(missing_ok=True)
    (run.folder / name).mkdir()
    for attempt in (lambda: resume(run.folder, None, TrainingProgress()), lambda: run.append(name, [{"a": 1}])):
        with pytest.raises(DecathlonError):
            attempt()


def test_a_reader_that_has_enough_ends_the_command_in_silence() -> None:
    for words in (["leaderboard"], ["recipes"]):
        with subprocess.Popen([sys.executable, "-c", "pass"], stdin=subprocess.PIPE) as gone:
            gone.wait()
            assert gone.stdin is not None
            done = decathlon(*words, stdout=gone.stdin.fileno())
        assert done.returncode in (0, 1) and "Error" not in done.stderr and "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_behind_the_output() -> None:
    with open("/dev/full", "w") as full:
        for words in (["leaderboard", "--format", "csv"], ["--help"]):
            done = decathlon(*words, stdout=full.fileno())
            assert done.returncode == 1 and "Exception ignored" not in done.stderr
            assert done.stderr.splitlines()[-1].startswith("Error: No space left on device. ")
        assert decathlon("data", "info", "none.h5", stderr=full.fileno()).returncode == 3  # the code still tells


@pytest.mark.slow
def test_permissions_of_a_run_and_its_data(tiny: Path, tmp_path: Path) -> None:
    data = tmp_path / "closed" / "tiny.h5"
    data.parent.mkdir()
    data.write_bytes(tiny.read_bytes())
    data.chmod(0o400)
    data.parent.chmod(0o500)
    run = tmp_path / "run"
    done = decathlon("train", "--data", data, *OPTIONS, "-o", run, humble=True, env={"HOME": str(data.parent)})
    assert done.returncode == 0, done.stderr  # no lock beside the data, nothing written at home
    for path in [run, *run.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    said = refused(decathlon("predict", run, "--data", data, humble=True))
    assert said.startswith(f"cannot write {run}/results.json (Permission denied). Choose another place, or get")
    assert decathlon("predict", run, "--data", data, "-o", tmp_path / "results.json", humble=True).returncode == 0
    (run / "trunk.safetensors").chmod(0)
    said = refused(decathlon("predict", run, "--data", data, "-o", tmp_path / "b.json", humble=True), 3)
    assert said == f"cannot read {run}/trunk.safetensors: Permission denied. Check its permissions."
