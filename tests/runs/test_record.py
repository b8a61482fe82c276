"""What a run directory holds is read strictly: one sentence with file and place, whatever stands in it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from decathlon.cli.main import command
from decathlon.errors import DataError, DecathlonError, VerificationError
from decathlon.experiments.resume import resume
from decathlon.inference.predict import predict_run
from decathlon.reports.footprint_report import count_run
from decathlon.reports.leaderboard_rows import read_rows
from decathlon.runs.loading import load_run
from decathlon.runs.logs import METRICS, read_lines
from decathlon.runs.run_directory import Run
from decathlon.runs.seed_group import SEEDS, Group, find_group
from decathlon.runs.trunk_source import find_trunk
from decathlon.scoring.results import protocol_path, read_results
from decathlon.scoring.score import DomainScore, Score
from decathlon.system.checksums import SEAL, read_sealed, seal, write_sealed
from decathlon.system.files import sha256, write_json
from decathlon.system.progress import TrainingProgress
from decathlon.system.schema import find_fault, within
from decathlon.system.tensor_files import read_tensors, write_tensors
from tests.helpers.mutations import flip, mutate
from tests.helpers.packs import write_truth
from tests.helpers.runs import ASKED, RECIPE, dying_at, go

SECONDS = 10  # no single reading of a small run takes as long


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one epoch with results and a score."""
    folder = tmp_path_factory.mktemp("strict")
    made = go(tiny, folder / "run", "bn", recipe=RECIPE.override({"epochs": 1}), domains=("apples",))
    predict_run(made, tiny, "test", made.folder / "results.json")
    truth = write_truth(folder / "truth") / "apples_test.json"
    outcome = CliRunner().invoke(command, ["score", str(made.folder), "--truth", str(truth)])
    assert outcome.exit_code == 0, outcome.output
    return made


def plain(file: Path) -> Any:
    """Return a JSON object without what would give any change in it away."""
    data = json.loads(file.read_text())
    return {key: value for key, value in data.items() if key not in (SEAL, "files")}


def battle(file: Path, damaged: list[bytes], read: Callable[[], object]) -> int:
    """Write each text over a file, read it, and return how many were refused; other errors pass through."""
    whole, refused = file.read_bytes(), 0
    for data in damaged:
        file.write_bytes(data)
        began = time.monotonic()
        try:
            read()
        except DecathlonError as error:
            refused += 1
            said = str(error)
            assert error.exit_code in (2, 3, 4) and said.endswith((".", "?")) and len(said) < 700, said
        assert time.monotonic() - began < SECONDS
    file.write_bytes(whole)
    return refused


def read_run(run: Run, tiny: Path) -> None:
    """Read a run as params, leaderboard, predict and train do."""
    run.read()
    read_rows([run.folder])
    count_run(run)
    load_run(run.folder, "cpu")
    find_trunk(str(run.folder), 0)
    predict_run(run, tiny, "test", run.folder.parent / "again.json")


def copied(run: Run, tmp_path: Path) -> Run:
    shutil.copytree(run.folder, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_run_json_is_refused_or_read(run: Run, tiny: Path, tmp_path: Path, count: int) -> None:
    own = copied(run, tmp_path)
    file = own.folder / "run.json"
    damaged = [mutate(plain(file), seed) for seed in range(count)]
    assert battle(file, damaged, lambda: read_run(own, tiny)) > count / 2
    read_run(own, tiny)


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_mutated_run_json_of_an_interrupted_run_is_not_resumed_by_accident(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    with dying_at(monkeypatch, 4):
        go(tiny, tmp_path / "run", "bn", recipe=RECIPE, domains=("apples",))
    file = tmp_path / "run" / "run.json"
    asked = plain(file) | {"status": "running"}

    def read() -> None:
        if Run(file.parent).read().status == "running":
            monkeypatch.setattr("decathlon.training.loop.Training.train", lambda *_: None)  # reading is tested here
        resume(file.parent, None, TrainingProgress())

    assert battle(file, [mutate(asked, seed) for seed in range(count)], read) > count / 2


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_seeds_are_refused_or_read(tmp_path: Path, count: int) -> None:
    Group(tmp_path, (0, 1, 2), ASKED).write()
    file = tmp_path / SEEDS
    damaged = [mutate(plain(file), seed) for seed in range(count)]
    assert battle(file, damaged, lambda: find_group(tmp_path)) > count / 2


@pytest.mark.parametrize("name", ["score.json", "footprint.json"])
@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutated_numbers_are_refused_or_shown(run: Run, tmp_path: Path, name: str, count: int) -> None:
    own = copied(run, tmp_path)
    write_json(own.folder / "run.json", plain(own.folder / "run.json"))  # without the SHA-256 of the others
    file = own.folder / name
    damaged = [mutate(plain(file), seed) for seed in range(count)]

    def read() -> None:
        read_results(own.folder / "results.json")
        for format in ("table", "json"):
            outcome = CliRunner().invoke(command, ["leaderboard", str(own.folder), "--format", format])
            if outcome.exception and not isinstance(outcome.exception, SystemExit):
                raise outcome.exception

    assert battle(file, damaged, read) > count / 4


def told_of_results(data: bytes, digest: str) -> Any:
    """Return what a protocol says, None where it must be refused; found without this project's code."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("results_sha256", digest) == digest else None


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_mutated_protocol_is_refused_or_shown(run: Run, tmp_path: Path, count: int, sealed: bool) -> None:
    """Without a seal, as one written by hand, it must be of these results; with one, nothing may differ at all."""
    results = copied(run, tmp_path).folder / "results.json"
    file, digest = protocol_path(results), sha256(results)
    whole = json.loads(file.read_text()) if sealed else plain(file)
    wrong = 0
    for seed in range(count):
        damaged = mutate(whole, seed)
        told = told_of_results(damaged, digest)
        if sealed and told is not None and SEAL in told:
            told = None  # what a mutation leaves as it was is not laid out as it was written
        wrong += told is None
        refused = battle(file, [damaged], lambda told=told: shows(results, told))  # type: ignore[misc]
        odd = any(mark in damaged for mark in (b"NaN", b"\\ud800", b'"format": 1', b"Infinity"))
        assert refused or told is not None, (seed, damaged)
        assert not refused or told is None or odd or SEAL in whole, (seed, damaged)
    assert wrong > (count / 2 if sealed else count / 10)


def shows(results: Path, told: Any) -> None:
    """Read results and compare what is known of them."""
    assert read_results(results).protocol == told


@pytest.mark.parametrize("count", [150, pytest.param(500, marks=pytest.mark.slow)])
def test_no_flipped_bit_in_a_header_is_read(run: Run, tmp_path: Path, count: int) -> None:
    own = copied(run, tmp_path)
    file = own.domain("apples")
    header = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    damaged = [flip(file.read_bytes(), seed, header) for seed in range(count)]
    assert battle(file, damaged, lambda: read_tensors(file)) == count
    cut = [file.read_bytes()[:length] for length in (0, 1, 7, 8, 9, header - 1, header, header + 1)]
    assert battle(file, cut, lambda: read_tensors(file)) == len(cut)


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_mutated_metadata_of_weights_is_refused_or_read(run: Run, tiny: Path, tmp_path: Path, count: int) -> None:
    """Sealed again after the change, as somebody would who wants it read."""
    own = copied(run, tmp_path)
    write_json(own.folder / "run.json", plain(own.folder / "run.json"))
    for file in (own.domain("apples"), own.trunk):
        tensors, about = read_tensors(file)
        damaged = []
        for seed in range(count):
            try:
                changed = json.loads(mutate(about, seed))
                write_tensors(file, tensors, changed if isinstance(changed, dict) else {})
            except (ValueError, RecursionError):
                continue
            damaged.append(file.read_bytes())
        assert battle(file, damaged, lambda: read_run(own, tiny)) > count / 4
        write_tensors(file, tensors, about)
        read_run(own, tiny)


def test_a_header_longer_than_the_file_costs_no_memory(run: Run, tmp_path: Path) -> None:
    file = copied(run, tmp_path).trunk
    file.write_bytes((2**62).to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(DataError, match="cut short"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "0"}, "seed is '0', not a whole number"),
        ({"seed": True}, "seed is true, not"),
        ({"bf16": 1}, "bf16 is 1, not true or false"),
        ({"regime": "froze"}, "regime is 'froze', not 'frozen' or"),
        (
            {"domains": [{"name": "../x", "categories": [1], "images": 1}]},
            r"domains\[0\].name is '../x', not a plain name",
        ),
        (
            {"domains": [{"name": "x", "categories": [1, 1], "images": 1}]},
            "categories of x is empty or has duplicates",
        ),
        ({"threads": 10**9}, "threads is 1000000000, not a whole number 1 to 4096"),
        ({"recipe": {"lr": "fast"}}, "recipe: lr is 'fast', it must be a number"),
        ({"data": {"path": "x.h5"}}, "data.digest is missing"),
    ],
)
def test_the_sentence_names_file_and_place(run: Run, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    own = copied(run, tmp_path)
    write_json(own.folder / "run.json", plain(own.folder / "run.json") | change)
    with pytest.raises(DataError, match=rf"run\.json is damaged.*{said}"):
        own.read()


def test_a_record_without_a_checksum_is_read_strictly(run: Run, tmp_path: Path) -> None:
    own = copied(run, tmp_path)
    write_json(own.folder / "run.json", plain(own.folder / "run.json"))
    assert replace(own.read(), files={}) == replace(run.read(), files={})


def test_what_is_written_is_read_back(run: Run) -> None:
    record = run.read()
    assert json.loads((run.folder / "run.json").read_text()) == seal(record.to_json())


def test_a_seal_finds_every_changed_byte(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_sealed(file, {"rate": 1e-05, "name": "ä", "more": {"0" * 64: "0" * 64}})
    whole = file.read_bytes()
    assert read_sealed(file, "") == {"rate": 1e-05, "name": "ä", "more": {"0" * 64: "0" * 64}}
    for place in range(0, 8 * len(whole), 7):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises((DataError, VerificationError)):
            read_sealed(file, "write it again")


def test_the_same_said_in_other_words_is_damage(tmp_path: Path) -> None:
    """Blanks, escapes and other spellings of a number: JSON that parses to the same values is not the same file."""
    file = tmp_path / "x.json"
    write_sealed(file, {"rate": 0.5, "name": "ä"})
    whole = file.read_bytes()
    for before, after in ((b"0.5", b"0.50"), ("ä".encode(), b"\\u00e4"), (b": ", b":  "), (b"\n}", b"}")):
        file.write_bytes(whole.replace(before, after, 1))
        assert file.read_bytes() != whole and json.loads(file.read_bytes()) == json.loads(whole)
        with pytest.raises(VerificationError, match="x.json is damaged"):
            read_sealed(file, "write it again")


def test_metadata_said_in_other_words_is_damage(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    write_tensors(file, {"a": torch.ones(2)}, {"rate": 0.5, "name": "ä"})
    with safe_open(file, framework="pt") as opened:
        about = opened.metadata()["about"]
    for before, after in (("0.5", "0.50"), ("\\u00e4", "ä"), (": ", ":  "), ("}", " }")):
        changed = about.replace(before, after, 1)
        assert changed != about and json.loads(changed) == json.loads(about)
        save_file({"a": torch.ones(2)}, file, {"about": changed})
        with pytest.raises(VerificationError, match="x.safetensors is damaged"):
            read_tensors(file)
    save_file({"a": torch.ones(2)}, file, {"about": about})
    assert read_tensors(file)[1] == {"rate": 0.5, "name": "ä"}


def test_lines_are_named_by_their_number(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    row = {"epoch": 1, "step": 3, "domain": "a", "lr": 0.1, "train_loss": 1.0, "train_accuracy": 0.5}
    for bad, said in ((row | {"train_accuracy": 1.5}, "train_accuracy is 1.5"), ({}, "epoch is missing")):
        file.write_text(f"{json.dumps(row)}\n{json.dumps(bad)}\n")
        with pytest.raises(DataError, match=rf"line 2 of .*metrics.jsonl.*{said}"):
            read_lines(file, METRICS)
    file.write_text(json.dumps(row)[:-5])
    with pytest.raises(DataError, match="line 1 of .*metrics.jsonl is cut off or damaged. Restore a copy"):
        read_lines(file, METRICS)


def test_a_score_says_where_it_is_wrong() -> None:
    whole = Score((DomainScore("a", 0.5, 0.5, 4),), "none").to_json()
    entry = whole["domains"]["a"]
    assert Score.from_json(whole, "s").mean_accuracy == 0.5
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"images": "4"}, r"domains\['a'\].images is '4'"),
        ({"accuracy": True}, "accuracy is true"),
        ({"images": 10**400}, "images is 1000"),
    ]
    for change, said in wrong:
        with pytest.raises(DataError, match=said):
            Score.from_json(whole | {"domains": {"a": entry | change}}, "s")
    with pytest.raises(DataError, match="contradicts itself"):
        Score.from_json(whole | {"missing": ["a"]}, "s")


def test_shapes() -> None:
    shape = {"a": [within(int, 0, 9)], "b?": (str, None)}
    assert find_fault({"a": [0, 9], "more": 1}, shape) is None
    assert find_fault({"a": [1, 10]}, shape) == "a[1] is 10, not a whole number 0 to 9"
    assert find_fault({"a": [], "b": 1}, shape) == "b is 1, not text or null"
    assert find_fault([], shape) == "the whole is a list, not an object"
    assert find_fault({"x": float("nan")}, {str: float}) == "['x'] is nan, not a number"
