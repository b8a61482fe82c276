"""Links and folders where files of a run should be: nothing outside the run is written, and it is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.errors import DataError, DecathlonError, ResourceError, UsageError
from decathlon.experiments.resume import resume
from decathlon.runs.run_directory import Run
from decathlon.system.files import write_bytes, write_json
from decathlon.system.locks import locked
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import write_tensors
from tests.helpers.runs import RECIPE, dying_at, go


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A run directory that is itself a link, as to a larger disk, and a file outside it."""
    (tmp_path / "disk" / "domains").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "outside").write_bytes(b"precious\n")
    return tmp_path / "run", tmp_path / "outside"


WRITES: dict[str, Callable[[Path], None]] = {
    "metrics.jsonl": lambda folder: Run(folder).append("metrics.jsonl", [{"a": 1}]),
    "timing.jsonl": lambda folder: Run(folder).append("timing.jsonl", [{"a": 1}]),
    "footprint.json": lambda folder: write_json(folder / "footprint.json", {}),
    "trunk.safetensors": lambda folder: write_tensors(folder / "trunk.safetensors", {"a": torch.ones(2)}, {}),
    "domains/a.safetensors": lambda folder: write_tensors(Run(folder).domain("a"), {"a": torch.ones(2)}, {}),
    "run.json": lambda folder: Run(folder).write({"status": "running"}),
    ".lock": lambda folder: locked(folder / ".lock", folder, "is being trained").__enter__(),
}


@pytest.mark.parametrize("name", WRITES)
def test_nothing_is_written_through_a_link_in_a_run(linked: tuple[Path, Path], name: str) -> None:
    folder, outside = linked
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    with pytest.raises((DataError, ResourceError), match=r"is a link|Too many levels.*: remove the link"):
        WRITES[name](folder)
    assert outside.read_bytes() == b"precious\n" and (folder / name).is_symlink()


def test_what_a_run_starts_from_is_not_written_through_a_link_before_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"precious\n")
    (tmp_path / "start.safetensors").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="start.safetensors is a link and is not written through: remove it"):
        write_tensors(Run(tmp_path).start, {"a": torch.ones(2)}, {})
    assert (tmp_path / "outside").read_bytes() == b"precious\n"


def test_a_lock_that_is_a_link_is_said_to_be_one(linked: tuple[Path, Path]) -> None:
    folder, outside = linked
    (folder / ".lock").symlink_to(outside)
    with pytest.raises(DataError, match="lock is a link and is not written through: remove it"):
        WRITES[".lock"](folder)


@pytest.mark.parametrize("name", [name for name in WRITES if name != ".lock"])
def test_without_a_link_all_is_written(linked: tuple[Path, Path], name: str) -> None:
    folder, _ = linked
    WRITES[name](folder)
    assert (folder / name).stat().st_size


def test_a_folder_of_domains_that_leads_outside(linked: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = linked
    (folder / "domains").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "domains").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="domains is a link"):
        WRITES["domains/a.safetensors"](folder)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_that_a_user_named_is_followed(linked: tuple[Path, Path], tmp_path: Path) -> None:
    _, outside = linked
    (tmp_path / "mine.json").symlink_to(outside)
    write_bytes(tmp_path / "mine.json", b"new")
    assert outside.read_bytes() == b"new" and (tmp_path / "mine.json").is_symlink()


def test_links_that_lead_to_one_another(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ResourceError, match="cannot write .*/a .Too many levels.*: remove the link that is there"):
        write_bytes(tmp_path / "a", b"")


@pytest.fixture(scope="module")
def dead(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that died in its second epoch."""
    folder = tmp_path_factory.mktemp("dead") / "run"
    with pytest.MonkeyPatch.context() as patch, dying_at(patch, 4):
        go(tiny, folder, "bn", recipe=RECIPE, domains=("apples",))
    return folder


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "seeds.json", "start.safetensors"])
def test_a_folder_where_a_file_should_be_is_one_sentence(dead: Path, tmp_path: Path, name: str) -> None:
    run = shutil.copytree(dead, tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir()
    outcome = CliRunner().invoke(command, ["verify", str(run)])
    assert isinstance(outcome.exception, DecathlonError), outcome.exception
    if name != "seeds.json":  # of no concern to a run
        with pytest.raises(DecathlonError):
            resume(run, None, TrainingProgress())
    with pytest.raises((UsageError, ResourceError)):
        Run(run).append(name, [{"a": 1}])
