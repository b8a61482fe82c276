"""Shared fixtures: one thread a process, and the outside files that some tests read where they are present."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

# Before torch is imported, here and in processes that tests start: two busy processes with two threads each
# collapse thirteen-fold on two cores. Fixtures import what needs torch themselves: the process that hands out the
# tests has no use for it.
os.environ["OMP_NUM_THREADS"] = "1"
# in a shell's background SIGINT is ignored, by the processes that tests start too
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared"


def outside(variable: str, default: str) -> Path:
    """Return the path a variable names or the default beside the repository; skip the test when it is absent."""
    path = Path(os.environ.get(variable, SHARED / default))
    if not path.exists():
        pytest.skip(f"{variable} is not set and {path.name} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed file of three tiny domains."""
    from tests.helpers.packs import write_pack

    return write_pack(tmp_path_factory.mktemp("tiny") / "tiny.h5")


@pytest.fixture(scope="session")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of a run of three epochs of nine steps that nothing interrupted."""
    from tests.helpers.runs import digests, go

    return digests(go(tiny, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="session")
def died(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, dead after the first step of its second epoch; copy it before it is changed."""
    from tests.helpers.runs import dying_at, go

    folder = tmp_path_factory.mktemp("dead") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, folder)
    return folder


@pytest.fixture
def run(died: Path, tmp_path: Path) -> Path:
    """A copy of the run that died."""
    return Path(shutil.copytree(died, tmp_path / "run"))


@pytest.fixture(scope="session")
def half(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two jobs that died in the second."""
    from tests.helpers.runs import dying_at, go

    folder = tmp_path_factory.mktemp("half") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 14):
        go(tiny, folder, "scratch", domains=("apples", "towers"))
    return folder
