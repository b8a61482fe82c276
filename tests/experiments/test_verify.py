"""`decathlon verify`: what is whole passes, and no flipped bit does."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decathlon.cli.main import command
from decathlon.data.ground_truth import read_truth
from decathlon.data_prep.packing.plan import writing_truth
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import Group
from decathlon.system.checksums import read_sealed, write_sealed
from decathlon.system.files import read_json
from tests.helpers.mutations import flip
from tests.helpers.packs import write_truth
from tests.helpers.runs import ASKED, RECIPE, dying_at, go


@pytest.fixture(scope="module")
def root(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was predicted and scored, a baseline, and a merged network."""
    folder = tmp_path_factory.mktemp("verify")
    go(tiny, folder / "run", "bn", recipe=RECIPE.override({"epochs": 1}), domains=("apples",))
    truth = write_truth(folder / "truth") / "apples_test.json"
    for words in (
        ["predict", "run", "--data", tiny],
        ["score", "run", "--truth", truth, "--save-baseline", folder / "base.json"],
        ["merge", "run", "apples", "-o", folder / "apples.safetensors"],
    ):
        outcome = ask(*(folder / "run" if word == "run" else word for word in words))
        assert outcome.exit_code == 0, outcome.output
    shutil.copy(tiny, folder / "tiny.h5")
    return folder


def ask(*words: object) -> Result:
    return CliRunner().invoke(command, list(map(str, words)))


def files(root: Path) -> list[Path]:
    found = [path for path in (root / "run").rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(found) + [root / "base.json", root / "apples.safetensors", root / "tiny.h5"]


def test_what_is_whole_passes(root: Path) -> None:
    outcome = ask("verify", *(root / name for name in ("run", "base.json", "apples.safetensors", "tiny.h5")))
    assert outcome.exit_code == 0, outcome.output
    assert "WRONG" not in outcome.output and "no checksum" not in outcome.output
    assert len(files(root)) == 12
    for path in files(root):
        assert path.name in outcome.output


@pytest.mark.parametrize("count", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_no_flipped_bit_passes(root: Path, count: int) -> None:
    """The packed file has tests of its own: bytes between its parts hold nothing."""
    for number, file in enumerate(files(root)[:-1]):
        whole, target = file.read_bytes(), root / "run" if file.is_relative_to(root / "run") else file
        for seed in range(count):
            file.write_bytes(flip(whole, 1000 * number + seed))
            error = ask("verify", target).exception
            strange = isinstance(error, UsageError) and target == file  # no longer a file of ours: said so
            assert isinstance(error, VerificationError) or strange, (file, seed, error)
        file.write_bytes(whole)
    assert ask("verify", root / "run").exit_code == 0


def test_a_flipped_pixel_of_a_packed_file_is_found(root: Path) -> None:
    file = root / "tiny.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[:60000] + bytes([whole[60000] ^ 1]) + whole[60001:])
    assert isinstance(ask("verify", file).exception, VerificationError)
    file.write_bytes(whole)


def test_a_missing_and_a_foreign_file_are_named(root: Path, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "run", tmp_path / "run")
    run = Run(tmp_path / "run")
    run.domain("apples").unlink()
    assert "apples.safetensors is missing. Restore a copy" in str(ask("verify", run.folder).exception)
    other = go(tiny, tmp_path / "other", "bn", recipe=RECIPE.override({"epochs": 1}), domains=("apples",), seed=1)
    shutil.copy(root / "run/domains/apples.safetensors", other.domain("apples"))
    other.write(other.read())  # even where the checksums are made to fit
    assert "was trained over another trunk" in str(ask("verify", other.folder).exception)


def test_results_of_another_run_are_found(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "run", tmp_path / "run")
    results = tmp_path / "run" / "results.json"
    results.write_bytes(results.read_bytes() + b"\n")
    (tmp_path / "run" / "results.protocol.json").unlink()
    assert "results.json was not made by this run's weights" in str(ask("verify", tmp_path / "run").exception)


def test_an_interrupted_run_passes_with_its_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "run", "bn", recipe=RECIPE, domains=("apples",))
    outcome = ask("verify", tmp_path / "run")
    assert outcome.exit_code == 0 and "checkpoint.safetensors" in outcome.output, outcome.output
    file = tmp_path / "run" / "checkpoint.safetensors"
    file.write_bytes(flip(file.read_bytes(), 7))
    assert isinstance(ask("verify", tmp_path / "run").exception, VerificationError)


def test_a_group_is_verified_run_by_run(root: Path, tmp_path: Path) -> None:
    Group(tmp_path / "group", (0, 1), ASKED | {"recipe": Run(root / "run").read().recipe.to_json()}).write()
    for seed in (0, 1):
        shutil.copytree(root / "run", tmp_path / "group" / f"seed-{seed}")
    again = ask("verify", tmp_path / "group")
    assert "seed-1 is not a run of this group: its seed differs" in str(again.exception)
    request = tmp_path / "group" / "seed-1" / "run.json"
    write_sealed(request, read_sealed(request, "") | {"seed": 1})
    assert ask("verify", tmp_path / "group").exit_code == 0
    file = tmp_path / "group" / "seed-1" / "metrics.jsonl"
    file.write_bytes(flip(file.read_bytes(), 3))
    damaged = ask("verify", tmp_path / "group")
    assert "seed-1/metrics.jsonl is not the file that run.json lists" in str(damaged.exception)


@pytest.mark.parametrize("name", ["nothing", "folder", "words.txt", "odd.json"])
def test_a_stranger_is_told_what_can_be_verified(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "odd.json").write_text('{"a": 1}')
    error = ask("verify", tmp_path / name).exception
    assert isinstance(error, UsageError) and "a run directory, a group of runs" in str(error)


def test_json_that_is_none_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"domains": ')
    error = ask("verify", tmp_path / "cut.json").exception
    assert isinstance(error, VerificationError) and "cut.json is cut off or damaged" in str(error)


def truth_of(folder: Path) -> Path:
    """Write the truth of a domain as `data add` and `data build` do."""
    file = folder / "mine-truth" / "apples_test.json"
    released = read_json(write_truth(folder / "truth") / file.name)
    with writing_truth(file, released):
        pass
    return file


def test_ground_truth_that_the_project_writes_is_sealed_and_the_released_is_not(tmp_path: Path) -> None:
    own = truth_of(tmp_path)
    outcome = ask("verify", own.parent)
    assert outcome.exit_code == 0 and "no checksum" not in outcome.output and "ground truth" in outcome.output
    assert "no checksum" in ask("verify", tmp_path / "truth").output
    released = read_truth(tmp_path / "truth" / own.name).domains
    assert read_truth(own).domains == released == read_truth(zipped(own)).domains


@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_no_flipped_bit_in_the_projects_truth_is_scored(tmp_path: Path, count: int) -> None:
    own = truth_of(tmp_path)
    whole = own.read_bytes()
    for seed in range(count):
        own.write_bytes(flip(whole, seed))
        for path in (own, own.parent):
            with pytest.raises((DataError, VerificationError)):
                read_truth(path)
        with pytest.raises((DataError, VerificationError)):
            read_truth(zipped(own))


def zipped(file: Path) -> Path:
    with zipfile.ZipFile(file.with_suffix(".zip"), "w") as archive:
        archive.write(file, file.name)
    return file.with_suffix(".zip")


def test_a_pt2_file_is_verified_by_its_checksums(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "apples.pt2"
    assert ask("merge", root / "run", "apples", "-o", file).exit_code == 0
    outcome = ask("verify", file)
    assert outcome.exit_code == 0 and "merged network" in outcome.output and "no checksum" not in outcome.output
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert isinstance(ask("verify", file).exception, VerificationError)


@pytest.mark.slow
def test_an_onnx_file_is_read_and_has_no_checksum(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    file = tmp_path / "apples.onnx"
    assert ask("merge", root / "run", "apples", "-o", file).exit_code == 0
    outcome = ask("verify", file)
    assert outcome.exit_code == 0 and "merged network" in outcome.output and "no checksum" in outcome.output
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert isinstance(ask("verify", file).exception, VerificationError)


def test_an_epoch_that_stands_twice_is_told(run: Path) -> None:
    """What two processes leave that trained one run."""
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join([*lines, lines[0]]))
    assert "was written by two processes: epoch 1 of apples stands in it twice" in str(ask("verify", run).exception)
