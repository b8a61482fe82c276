"""What the machine refuses while images are packed: one sentence, nothing left, nothing damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.data_prep.packing.workers import ordered
from decathlon.errors import BusyError, DataError, ResourceError
from tests.helpers.challenge_sources import write_source
from tests.helpers.machine import CODE, decathlon, refused


def lacking(number: int) -> int:
    raise MemoryError


def wrong(number: int) -> int:
    raise RuntimeError("no lack of anything")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_worker_without_memory_is_one_sentence(workers: int) -> None:
    with pytest.raises(ResourceError, match="^out of memory. Try fewer --workers, or a smaller --side.$"):
        list(ordered(lacking, range(5), workers))
    with pytest.raises(RuntimeError, match="no lack of anything"):
        list(ordered(wrong, range(5), workers))


@pytest.mark.parametrize(
    "error", [BlockingIOError(11, "Resource temporarily unavailable"), RuntimeError("can't start new thread")]
)
def test_workers_that_cannot_start(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def submit(*args: object) -> None:
        raise error

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with pytest.raises(ResourceError, match="^worker processes cannot be started .*. Try --workers 1.$"):
        prepare([source], output, PackOptions(workers=2))
    assert list(output.parent.iterdir()) == []
    prepare([source], output, PackOptions(workers=1))


@pytest.mark.slow
def test_a_killed_worker_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """The kill is real: the first child that decodes gets SIGKILL, as from a system without memory."""
    source = write_source(tmp_path / "source")
    script = tmp_path / "main.py"
    script.write_text(f"if __name__ == '__main__':\n    {CODE}\n")
    process = subprocess.Popen(
        [sys.executable, script, "data", "prepare", source, "-o", tmp_path / "out" / "a.h5", "--workers", "2"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("no /proc to find the workers by")
    found: list[str] = []
    while process.poll() is None and not found:
        found = [pid for pid in children.read_text().split() if b"spawn_main" in cmdline(pid)]
        time.sleep(0.005)
    for pid in found:
        os.kill(int(pid), signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "Traceback" not in said
    assert said.endswith("Error: a worker process died, perhaps out of memory. Try fewer --workers.\n")
    assert list((tmp_path / "out").iterdir()) == []


def cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.slow
def test_a_full_disk_at_any_place_is_no_crash(source: Path, output: Path) -> None:
    """HDF5 itself ends the interpreter; the limit walks over the whole file."""
    prepare([source], output)
    size = output.stat().st_size
    output.unlink()
    for limit in range(0, size, size // 6):
        said = refused(decathlon("data", "prepare", source, "-o", output, file_size=limit))
        assert said == f"cannot write {output} (File too large). Free some space or choose another place."
        assert list(output.parent.iterdir()) == []
    assert decathlon("data", "prepare", source, "-o", output, file_size=size).returncode == 0
    assert problems(output) == []


@pytest.mark.slow
def test_permissions(source: Path, tmp_path: Path) -> None:
    """A source that is read only is packed; what cannot be read or written is named, with exit codes 3 and 1."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    said = refused(decathlon("data", "prepare", source, "-o", closed / "a.h5", humble=True))
    assert said.startswith(f"cannot write {closed / 'a.h5'} (Permission denied). Choose another place, or get")
    for path in [source, *source.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    assert decathlon("data", "prepare", source, "-o", tmp_path / "a.h5", humble=True).returncode == 0
    assert problems(tmp_path / "a.h5") == []
    image = source / "data" / "boats" / "train" / "000001.png"
    image.chmod(0)
    said = refused(decathlon("data", "prepare", source, "-o", tmp_path / "b.h5", humble=True), DataError.exit_code)
    assert said.endswith("data/boats/train/000001.png cannot be read (Permission denied). Check the file.")
    assert not (tmp_path / "b.h5").exists()
    for path in [source, *source.rglob("*")]:
        path.chmod(0o700)


def test_a_busy_file_is_still_busy(source: Path, output: Path) -> None:
    import filelock

    output.parent.mkdir()
    with filelock.FileLock(output.parent / f".{output.name}.lock"):
        done = decathlon("data", "prepare", source, "-o", output)
    assert refused(done, BusyError.exit_code).startswith(f"{output} is being written by another process")


def test_a_pipe_is_no_packed_file_and_no_data_set(tmp_path: Path) -> None:
    """To open one is to wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="it is not a regular file"):
        PackedFile(tmp_path / "pipe")
    said = refused(decathlon("data", "add", tmp_path / "a.h5", "--name", "a", "--from", tmp_path / "pipe"), 3)
    assert "pipe is not a data set" in said
