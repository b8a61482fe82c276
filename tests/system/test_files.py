"""Durable writing: the order of what reaches the disk, permissions, and what killed processes leave."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from decathlon.errors import ResourceError
from decathlon.runs.run_directory import Run
from decathlon.system.files import appearing, replacing, write_bytes


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that every flush to the disk and every renaming is added to."""
    calls = list[str]()
    fsync, rename, sync = os.fsync, os.replace, os.sync

    def noted_fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").resolve()
        calls.append(f"sync {'folder' if path.is_dir() else path.read_text()}")
        fsync(handle)

    def noted_rename(old: Path, new: Path) -> None:
        rename(old, new)
        calls.append(f"rename to {new.name}")

    def noted_sync() -> None:
        calls.append("sync all")
        sync()

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_rename)
    monkeypatch.setattr(os, "sync", noted_sync)
    return calls


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = record(monkeypatch)
    write_bytes(tmp_path / "a", b"new")
    assert calls == ["sync new", "rename to a", "sync folder"]
    calls.clear()
    with replacing(tmp_path / "a", keep=tmp_path / "a-1") as part:
        part.write_bytes(b"newer")
    assert calls == ["sync newer", "rename to a-1", "sync folder", "rename to a", "sync folder"]


def test_a_folder_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record(monkeypatch)
    with appearing(tmp_path / "a") as root:
        (root / "x").write_bytes(b"x")
    assert calls == ["sync all", "rename to a", "sync folder"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_who_may_read_a_file_stays_so_when_it_is_replaced(tmp_path: Path, mode: int) -> None:
    write_bytes(tmp_path / "a", b"old")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask
    (tmp_path / "a").chmod(mode)
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    (tmp_path / "link").symlink_to(tmp_path / "run" / "a")
    for data in (b"old", b"new"):
        write_bytes(tmp_path / "link", data)
        assert (tmp_path / "disk" / "a").read_bytes() == data
    assert (tmp_path / "link").is_symlink() and (tmp_path / "run").is_symlink()


def test_links_that_lead_to_one_another(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ResourceError, match="cannot write .*/a .Too many levels.*. Remove the link that is there"):
        write_bytes(tmp_path / "a", b"")


KILLED = """
import os, signal, sys
from pathlib import Path
from decathlon.system.files import appearing
with appearing(Path(sys.argv[1])) as root:
    (root / "x").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")])
    assert len(list(tmp_path.iterdir())) == 1
    with appearing(tmp_path / "b"):
        assert len(list(tmp_path.glob(".a.*"))) == 1  # another name's
    with appearing(tmp_path / "a"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_lines_of_which_a_full_disk_took_a_part_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, lines = Run(tmp_path), list[int]()
    run.append("metrics.jsonl", [{"a": 1}])
    whole, fsync = run.metrics.read_bytes(), os.fsync

    def full(handle: int) -> None:
        lines.append(os.fstat(handle).st_size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        run.append("metrics.jsonl", [{"a": 2}])
    assert lines[0] > len(whole)  # they were there
    assert run.metrics.read_bytes() == whole
    monkeypatch.setattr(os, "fsync", fsync)
    run.append("metrics.jsonl", [{"a": 2}])
    assert run.metrics.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_lines_of_which_a_limit_took_a_part_are_taken_back(tmp_path: Path) -> None:
    run, before = Run(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    run.append("metrics.jsonl", [{"a": 1}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, before[1]))  # a write over it writes up to it, the next fails
    try:
        with pytest.raises(ResourceError, match="File too large"):
            run.append("metrics.jsonl", [{"a": 2, "long": "x" * 100}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert run.metrics.read_bytes() == b'{"a": 1}\n'
