"""How often commands read the files of a run: its record once, of all weights the header and then the whole."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.runs.run_directory import Run
from tests.helpers.packs import write_truth
from tests.helpers.runs import RECIPE, go

OPENED: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if OPENED is not None and event == "open" and str(arguments[1] or "r").startswith("r"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(_hook)  # for the life of the process: hooks cannot be removed


@pytest.fixture
def reads() -> Iterator[Callable[..., Counter[str]]]:
    """Run the command and return how often it opened each file to read it, by its path's last two parts."""

    def count(*words: object) -> Counter[str]:
        global OPENED
        OPENED = []
        try:
            done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            return Counter("/".join(Path(name).parts[-2:]) for name in OPENED)
        finally:
            OPENED = None

    yield count


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return go(tiny, tmp_path_factory.mktemp("read") / "run", recipe=RECIPE.override({"epochs": 1}))


def test_predict_reads_record_and_weights_once(
    run: Run, tiny: Path, tmp_path: Path, reads: Callable[..., Counter[str]]
) -> None:
    found = reads("predict", run.folder, "--data", tiny, "-o", tmp_path / "results.json")
    assert found["run/run.json"] == 1 and found["run/trunk.safetensors"] == 2  # the header first
    assert [found[f"domains/{name}.safetensors"] for name in run.read().names] == [2, 2, 2]


def test_merge_reads_record_and_weights_once(run: Run, tmp_path: Path, reads: Callable[..., Counter[str]]) -> None:
    found = reads("merge", run.folder, "boats", "-o", tmp_path / "boats.safetensors")
    assert found["run/run.json"] == 1 and found["run/trunk.safetensors"] == 2  # the header first
    assert [found[f"domains/{name}.safetensors"] for name in run.read().names] == [2, 2, 2]


def test_a_leaderboard_of_ten_runs_reads_each_record_once_and_no_weights(
    run: Run, tiny: Path, tmp_path: Path, reads: Callable[..., Counter[str]]
) -> None:
    runs = [shutil.copytree(run.folder, tmp_path / f"run-{number}") for number in range(10)]
    truth = write_truth(tmp_path / "truth")
    for folder in runs:
        reads("predict", folder, "--data", tiny)
        reads("score", folder, "--truth", truth, "--data", tiny)
    found = reads("leaderboard", *runs)
    assert [found[f"{folder.name}/run.json"] for folder in runs] == [1] * 10
    assert not any(name.endswith(".safetensors") for name in found)
