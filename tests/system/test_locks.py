"""Locks name their holder, leave nothing, and are free when the holder is dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from decathlon.errors import BusyError
from decathlon.runs.run_directory import Run
from decathlon.system.files import write_bytes
from decathlon.system.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from decathlon.runs.run_directory import Run
from decathlon.system.files import write_bytes
from decathlon.system.locks import locked
with locked(Path(sys.argv[1]), Path("it"), "is held"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        for _ in range(2):  # being refused does not wipe out who holds it
            with pytest.raises(BusyError, match=rf"^the run is in use by process {holder.pid}. Wait until it ends"):
                locked(path, Path("the run"), "is in use").__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert path.exists()
    with locked(path, Path("the run"), "is in use"):
        pass
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "x y", "1 2 3", "\0", "12"])
def test_a_lock_that_does_not_name_its_holder_still_holds(tmp_path: Path, text: str) -> None:
    with locked(tmp_path / "x", Path("it"), "is held"):
        (tmp_path / "x").write_text(text)
        with pytest.raises(BusyError, match="^it is held by another process. Wait"):
            locked(tmp_path / "x", Path("it"), "is held").__enter__()


def test_a_holder_on_another_machine_is_named_with_it(tmp_path: Path) -> None:
    with locked(tmp_path / "x", Path("it"), "is held"):
        (tmp_path / "x").write_text("12 elsewhere")
        with pytest.raises(BusyError, match="^it is held by process 12 on elsewhere. Wait"):
            locked(tmp_path / "x", Path("it"), "is held").__enter__()


def test_an_error_in_the_block_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), locked(tmp_path / "x", Path("it"), "is held"):
        raise ValueError("wrong")
    assert not (tmp_path / "x").exists()


def test_an_inner_block_of_the_same_process_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with locked(path, Path("it"), "is held", inner=True):
        with locked(path, Path("it"), "is held", inner=True):
            pass
        assert path.exists()
    assert not path.exists()


@pytest.mark.parametrize("removed", [False, True])
def test_a_lock_that_went_with_a_renamed_folder_covers_nothing_any_more(tmp_path: Path, removed: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run / ".lock", run, "is being trained"):
        write_bytes(run / "x", b"1")
        run.rename(tmp_path / "renamed")
        if not removed:
            run.mkdir()
            (run / ".lock").write_text("1 elsewhere")
        lost = "run was renamed or removed while this process worked on it; nothing more is written"
        with pytest.raises(BusyError, match=lost):
            write_bytes(run / "x", b"2")
        with pytest.raises(BusyError, match=lost):
            Run(run).append("lines", [{}])
        write_bytes(tmp_path / "beside", b"3")  # what it does not cover
    assert run.exists() != removed and (removed or [entry.name for entry in run.iterdir()] == [".lock"])


def test_a_renamed_folder_is_covered_again_when_it_is_back(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run / ".lock", run, "is being trained"):
        run.rename(tmp_path / "renamed").rename(run)
        write_bytes(run / "x", b"1")


def test_a_lock_beside_its_file_is_watched_through_links(tmp_path: Path) -> None:
    """As that of a packed file: the lock lies beside the file that a link leads to."""
    (tmp_path / "real").mkdir()
    link, real = tmp_path / "x.h5", tmp_path / "real" / "x.h5"
    link.symlink_to(real)
    with locked(real.parent / ".x.h5.lock", link, "is being written", inner=True):
        (real.parent / ".x.h5.lock").unlink()
        for path in (link, real):
            with pytest.raises(BusyError, match=r"^\S+\.lock was removed, the lock of \S+x\.h5, while this"):
                write_bytes(path, b"1")


@pytest.mark.parametrize("taken", [False, True])
def test_a_lock_that_alone_was_removed_is_said_to_be_and_how_to_go_on(tmp_path: Path, taken: bool) -> None:
    """It is not taken again: another process may have written here meanwhile, and may have ended."""
    run = tmp_path / "run"
    run.mkdir()
    with locked(run / ".lock", run, "is being trained"):
        (run / ".lock").unlink()
        if taken:
            (run / ".lock").write_text("1 elsewhere")
        with pytest.raises(BusyError) as end:
            write_bytes(run / "x", b"1")
    assert str(end.value) == (
        f"{run}/.lock was removed, the lock of {run}, while this process worked on it; nothing more is written to "
        "it. Begin again; a run is continued with --resume."
    )
    assert (run / ".lock").exists() == taken and not (run / "x").exists()
