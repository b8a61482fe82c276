"""What a file names is built only as large as the file is: in bounded memory and time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from decathlon.errors import DecathlonError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.experiments.verify import verify
from decathlon.inference.export import export
from decathlon.inference.network_file import load_merged
from decathlon.models.surgery import bounded
from decathlon.models.trunks.registry import build
from decathlon.runs.loading import load_run, recorded_method
from decathlon.runs.record import RecordedTrunk
from decathlon.runs.run_directory import Run
from decathlon.runs.trunk_source import find_trunk
from decathlon.system.files import sha256
from decathlon.system.progress import TrainingProgress
from decathlon.system.tensor_files import count_numbers, read_tensors, write_tensors
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import quickly
from tests.helpers.runs import RECIPE, go

SHORT = RECIPE.override({"epochs": 1})
TRUNKS = ["wrn-10-400", "wrn-40-999", "wrn-994-10", "wrn-9994-1", "timm:vgg19", "timm:convnext_xxlarge"]


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose domains share a trunk, and one where each has a whole network."""
    folder = tmp_path_factory.mktemp("trained")
    for method in ("bn", "scratch"):
        go(tiny, folder / method, method, recipe=SHORT)
    return folder


def renamed(run: Run, trunk: str) -> None:
    """Let a run's record name another trunk; everything else, its checksum too, is as it should be."""
    replace(run.read(), trunk=RecordedTrunk(trunk)).write(run.folder)


@pytest.mark.parametrize("trunk", quickly(TRUNKS, "wrn-40-999", "wrn-9994-1"))
@pytest.mark.parametrize("method", ["bn", "scratch"])
def test_a_trunk_that_the_files_cannot_hold_is_not_built(
    trained: Path, tmp_path: Path, method: str, trunk: str
) -> None:
    run = Run(Path(shutil.copytree(trained / method, tmp_path / "run")))
    renamed(run, trunk)

    def verified(path: Path) -> None:
        for wrong in (checked.wrong for checked in verify(path) if checked.wrong):
            raise VerificationError(wrong)

    def use(reader: Callable[[Path], object]) -> str:
        return judged(lambda: f"{reader(run.folder)} was used")

    torch.set_num_threads(1)
    readers: list[Callable[[Path], object]] = [load_run, verified, lambda path: find_trunk(str(path), 0)]
    came = forked(readers, use)
    assert came.counts == {REFUSED: 3} and came.slowest < 10 and came.memory < 300 << 20


@pytest.mark.parametrize("file", ["domains/x.safetensors", "start.safetensors", "domains/boats.safetensors"])
def test_neither_other_files_nor_holes_make_room(trained: Path, tmp_path: Path, file: str) -> None:
    """A file of 100 GiB that nobody expects, or with a hole behind its tensors, holds what its header says."""
    run = Run(Path(shutil.copytree(trained / "bn", tmp_path / "run")))
    renamed(run, "wrn-10-400")
    with (run.folder / file).open("a") as opened:
        opened.truncate(100 << 30)
    with pytest.raises(
        VerificationError, match="does not hold the weights of bn over wrn-10-400 .it would have more"
    ):
        recorded_method(run, run.read())


def test_a_link_that_leads_nowhere_is_no_file_of_the_run(trained: Path, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(trained / "bn", tmp_path / "run")))
    for name in ("old.safetensors", "domains/old.safetensors"):
        (run.folder / name).symlink_to("nowhere")
    assert load_run(run.folder).networks
    assert not [checked.wrong for checked in verify(run.folder) if checked.wrong]


@pytest.mark.parametrize("shape", ["[-1]", "[true]", "[281474976710657]", "7", '{"": 0}', "null"])
def test_a_header_with_impossible_shapes_counts_nothing(tmp_path: Path, shape: str) -> None:
    text = f'{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}'.encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(DecathlonError, match="header of .*x.safetensors is damaged: .*shape"):
        count_numbers(tmp_path / "x.safetensors")


def test_a_run_that_is_resumed_builds_no_more_either(run: Path) -> None:
    start = Run(run)
    tensors, about = read_tensors(start.start)
    write_tensors(start.start, tensors, about | {"name": "wrn-40-999"})
    replace(start.read(), trunk=RecordedTrunk("wrn-40-999"), start=sha256(start.start)).write(run)
    with pytest.raises(
        VerificationError, match="does not hold the weights of bn over wrn-40-999 .it would have more"
    ):
        resume(run, None, TrainingProgress())


def test_a_merged_network_builds_no_more_either(trained: Path, tmp_path: Path) -> None:
    export(trained / "bn", "boats", tmp_path / "boats.safetensors")
    tensors, about = read_tensors(tmp_path / "boats.safetensors")
    write_tensors(tmp_path / "boats.safetensors", tensors, about | {"trunk": "wrn-40-999"})
    with pytest.raises(DecathlonError, match="does not fit wrn-40-999 .it would have more than "):
        load_merged(tmp_path / "boats.safetensors")


def test_only_what_is_made_is_counted() -> None:
    count = sum(parameter.numel() for parameter in build("wrn-10-1").parameters())
    bounded(count, lambda: build("wrn-10-1"))
    with pytest.raises(ValueError, match=f"more than {count - 1:,} parameters"):
        bounded(count - 1, lambda: build("wrn-10-1"))
    build("wrn-10-1")


def test_where_memory_is_short_the_number_decides() -> None:
    def make() -> None:
        if nn.Linear(10, 10).weight.is_cpu:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate"):
        bounded(200, make)
    with pytest.raises(ValueError, match="more than 50"):
        bounded(50, make)
