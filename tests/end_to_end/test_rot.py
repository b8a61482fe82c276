"""Rot in what a run writes: a flipped bit is refused by whatever uses the file, and changes no number shown.

An ONNX file is the exception: the format has no checksum.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decathlon.cli.main import command
from decathlon.inference.network_file import description, load_merged
from decathlon.inference.predict import predict_run
from decathlon.reports.leaderboard_rows import read_rows
from decathlon.reports.training_table import summary
from decathlon.runs.run_directory import Run
from decathlon.runs.trunk_source import find_trunk
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.marks import slow
from tests.helpers.mutations import flip
from tests.helpers.packs import write_truth
from tests.helpers.runs import RECIPE, dying_at, go

EQUAL = "equal"
FEW = [8, pytest.param(300, marks=pytest.mark.slow)]


@dataclass(frozen=True)
class Root:
    """A folder with a run that was predicted and scored, one that died, their data, and what was made of them."""

    folder: Path
    data: Path

    @property
    def run(self) -> Run:
        return Run(self.folder / "run")

    def score(self, *more: object) -> str:
        """Return what `decathlon score` prints of the run's results."""
        results, truth = self.run.folder / "results.json", self.folder / "truth"
        return printed("score", results, "--truth", truth, *more)


def ask(*words: object) -> Result:
    return CliRunner().invoke(command, list(map(str, words)))


def printed(*words: object) -> str:
    """Return what a command prints; raise what it raises."""
    outcome = ask(*words)
    if outcome.exception:
        raise outcome.exception
    return outcome.stdout


@pytest.fixture(scope="module")
def root(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    folder = tmp_path_factory.mktemp("rot")
    go(tiny, folder / "run", "bn", recipe=RECIPE.override({"epochs": 1}), domains=("apples", "boats"))
    truth = write_truth(folder / "all")
    (folder / "truth").mkdir()
    for name in ("apples", "boats"):
        shutil.copy(truth / f"{name}_test.json", folder / "truth")
    printed("predict", folder / "run", "--data", tiny)
    printed("score", folder / "run", "--truth", folder / "truth", "--save-baseline", folder / "base.json")
    printed("merge", folder / "run", "apples", "-o", folder / "apples.safetensors")
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 4):
        go(tiny, folder / "dead", "bn", recipe=RECIPE, domains=("apples",))
    (folder / "dead" / "checkpoint-1.safetensors").unlink(missing_ok=True)
    return Root(folder, tiny)


def predicted(root: Root) -> str:
    """Return the predictions of a run, and what another run would begin from."""
    out = root.folder / "again.json"
    find_trunk(str(root.run.folder), 0)
    predict_run(root.run, root.data, "test", out)
    return out.read_text()


def resumed(root: Root) -> str:
    return printed("train", "--resume", "-o", root.folder / "dead", "--data", root.data)


def listed(root: Root) -> str:
    return printed("leaderboard", root.run.folder, "--format", "json") + repr(read_rows([root.run.folder]))


def merged(root: Root) -> str:
    return repr(load_merged(root.folder / "apples.safetensors").state_dict())


USES: dict[str, Callable[[Root], str]] = {
    "run/trunk.safetensors": predicted,
    "run/domains/apples.safetensors": predicted,
    "run/run.json": predicted,
    "run/results.json": Root.score,
    "run/results.protocol.json": Root.score,
    "run/score.json": listed,
    "run/footprint.json": listed,
    "run/metrics.jsonl": lambda root: repr(summary(root.run)),
    "dead/checkpoint.safetensors": resumed,
    "dead/start.safetensors": resumed,
    "dead/run.json": resumed,
    "base.json": lambda root: root.score("--baseline", root.folder / "base.json"),
    "apples.safetensors": merged,
}


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("name", USES)
def test_no_flipped_bit_is_used(root: Root, name: str, count: int) -> None:
    """All are refused: no byte of these files is without a meaning."""
    file = root.folder / name
    whole = file.read_bytes()

    def use(seed: int) -> str:
        file.write_bytes(flip(whole, seed))
        return judged(lambda: f"seed {seed} of {name} was used: {USES[name](root)[:200]}")

    try:
        came = forked(range(count), use)
    finally:
        file.write_bytes(whole)
    assert came.counts == {REFUSED: count}
    assert came.slowest < 5 and came.memory < 300 << 20


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("ending", ["pt2", slow("onnx")])
def test_a_flipped_bit_in_another_format_is_refused_or_described(root: Root, ending: str, count: int) -> None:
    """A zip has checksums, though some of its bytes, as dates, carry nothing. ONNX has none.."""
    if ending == "onnx":
        pytest.importorskip("onnxscript")
    file = root.folder / f"x.{ending}"
    if not file.exists():
        printed("merge", root.run.folder, "apples", "-o", file)
    whole, before = file.read_bytes(), description(file)

    def use(seed: int) -> str:
        file.write_bytes(flip(whole, seed))
        return judged(lambda: EQUAL if description(file) == before else "another")

    try:
        came = forked(range(count), use)
    finally:
        file.write_bytes(whole)
    if ending == "pt2":
        assert came.counts.keys() <= {REFUSED, EQUAL} and came.counts[EQUAL] <= count / 5
    assert came.slowest < 5 and came.memory < 300 << 20


def test_what_is_whole_is_used(root: Root) -> None:
    """The negative control: the same uses of the same files, with nothing flipped."""
    for name in [name for name in USES if not name.startswith("dead/")]:
        assert USES[name](root)
    assert (root.folder / "dead" / "checkpoint.safetensors").is_file()
    shutil.copytree(root.folder / "dead", root.folder / "alive")
    printed("train", "--resume", "-o", root.folder / "alive", "--data", root.data)
    assert Run(root.folder / "alive").read().status == "done"
