"""Preparing data, killed with SIGKILL: a file is the old one, the new one or absent, and no process lives on."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.challenge.prepare import prepare
from decathlon.data_prep.packing.check import problems
from decathlon.data_prep.packing.pipeline import PackOptions
from decathlon.errors import BusyError, UsageError
from decathlon.system.files import sha256
from tests.helpers import kill_points as points
from tests.helpers.challenge_sources import write_domain
from tests.helpers.custom_sources import numbered, write_tree
from tests.helpers.kills import KILLED, Child, Hook, mean_std, members
from tests.helpers.originals import cifar100
from tests.helpers.packs import write_pack

FORCED: list[Hook] = [points.before_complete, points.before_named, points.after_named]
SECONDS = 20  # that orphans may take to notice


@dataclass(frozen=True)
class Writing:
    """A command that writes `output`, in a folder of its own, where `before` lies until then."""

    words: tuple[object, ...]
    output: Path
    before: Path | None = None

    def start(self, *hooks: Hook) -> Child:
        return Child(self.words, self.output.parent.with_suffix(".log"), hooks)

    def clear(self) -> None:
        """Make the folder what it is before the first command."""
        shutil.rmtree(self.output.parent, ignore_errors=True)
        self.output.parent.mkdir()
        if self.before:
            shutil.copy(self.before, self.output)

    def whole(self, *hooks: Hook) -> str:
        """Run the command to its end; return the digest of what it wrote, whole and with nothing beside it."""
        child = self.start(*hooks)
        assert child.end() == 0, child.said()
        left = {path.name for path in self.output.parent.iterdir()}
        assert left <= {self.output.name, "mine-truth"}, left
        return self.digest()

    def digest(self) -> str:
        assert not problems(self.output)
        with PackedFile(self.output) as file:
            return file.digest

    def left(self) -> str:
        """Say what lies at the output after a kill, which must be whole."""
        if not self.output.exists():
            assert self.before is None
            return "nothing"
        if self.before and sha256(self.output) == sha256(self.before):
            return "the old file"
        return self.digest()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four domains in the official layout, 880 images."""
    root = tmp_path_factory.mktemp("source") / "set"
    for index, name in enumerate(("apples", "boats", "cars", "doors"), start=1):
        write_domain(root, name, index, {"train": 150, "val": 20, "test": 50})
    return root


def preparing(source: Path, tmp_path: Path, workers: int) -> Writing:
    output = tmp_path / "out" / "mine.h5"
    return Writing(("data", "prepare", source, "-o", output, "--workers", workers), output)


def adding(tmp_path: Path, workers: int) -> Writing:
    write_tree(tmp_path / "set", numbered({"a": 200, "b": 200}))
    output = tmp_path / "out" / "mine.h5"
    words = ("data", "add", output, "--name", "mine", "--from", tmp_path / "set", "--workers", workers)
    return Writing(words, output, write_pack(tmp_path / "old.h5"))


def killed(writing: Writing, count: int) -> None:
    """Kill a command `count` times, and run it again each time."""
    writing.clear()
    whole = writing.whole()
    writing.clear()
    began = time.monotonic()
    assert writing.whole() == whole
    seconds = time.monotonic() - began
    forced, moments = list(FORCED), iter(mean_std(5 * count, seed=count))
    left: Counter[str] = Counter()
    parts = 0
    while left.total() < count:
        writing.clear()
        point, forced = forced[:1], forced[1:]
        if writing.start(*point).end(None if point else seconds * next(moments)) != KILLED:
            continue
        found = writing.left()
        parts += any(writing.output.parent.glob(".mine.h5.*.part"))
        left["the new file" if found == whole else found] += 1
        if found != whole:
            assert writing.whole() == whole
    print(f"\n{count} kills, a whole one takes {seconds:.1f} s: {dict(left)}, and {parts} times a part beside")
    assert count / 5 <= parts < count
    assert left.keys() == {"the new file", "the old file" if writing.before else "nothing"}


@pytest.mark.slow
@pytest.mark.parametrize(("count", "workers"), [(20, 1), (20, 2)])
def test_prepare_killed_20_times_leaves_nothing_or_a_whole_file(
    source: Path, tmp_path: Path, count: int, workers: int
) -> None:
    """Three of the kills are at known points, the others at times spread over as long as it takes."""
    killed(preparing(source, tmp_path, workers), count)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "workers"), [(10, 1), (10, 2)])
def test_add_killed_10_times_leaves_the_old_file_or_the_new_one(tmp_path: Path, count: int, workers: int) -> None:
    killed(adding(tmp_path, workers), count)


@pytest.mark.slow
def test_build_killed_20_times_leaves_nothing_or_a_whole_file(tmp_path: Path) -> None:
    output = tmp_path / "out" / "mine.h5"
    words = "data", "build", "cifar100", "--from", cifar100(tmp_path / "from"), "-o", output, "--workers", 1
    killed(Writing((*words, "--truth", output.parent / "mine-truth"), output), 20)


@pytest.mark.slow
def test_synth_killed_20_times_leaves_nothing_or_the_whole_folder(tmp_path: Path) -> None:
    out = tmp_path / "out" / "synth"
    out.parent.mkdir()

    def drawn(moment: float | None = None) -> int:
        return Child(("data", "synth", out), tmp_path / "log", [points.two_domains]).end(moment)

    def tree() -> dict[str, str]:
        return {path.relative_to(out).as_posix(): sha256(path) for path in out.rglob("*") if path.is_file()}

    began = time.monotonic()
    assert drawn() == 0
    seconds, whole, left, parts = time.monotonic() - began, tree(), Counter[str](), 0
    for moment in mean_std(100, seed=20):
        shutil.rmtree(out.parent)
        out.parent.mkdir()
        if drawn(seconds * moment) == KILLED:
            parts += any(out.parent.glob(".synth.*.part"))
            left["the whole folder" if out.exists() else "nothing"] += 1
            assert not out.exists() or tree() == whole
            if not out.exists():
                assert drawn() == 0 and tree() == whole
            assert [path.name for path in out.parent.iterdir()] == ["synth"]
        if left.total() == 20:
            break
    print(f"\n20 kills, a whole one takes {seconds:.1f} s: {dict(left)}, and {parts} times a part beside")
    assert left.total() == 20 and parts >= 4 and left["nothing"]


@pytest.mark.slow
def test_add_killed_before_any_change_of_the_disk_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """Every flush, renaming and removal, one after the other; the last is after the file has its name."""
    writing = adding(tmp_path, workers=1)
    writing.clear()
    whole, left = writing.whole(), list[str]()
    writing.clear()
    while writing.start(partial(points.before_change, len(left))).end() == KILLED:
        left.append(writing.left())
        assert left[-1] == whole or writing.whole() == whole
        writing.clear()
    told = left.count("the old file"), left.count(whole)
    print(f"\n{len(left)} kills: {told[0]} times the old file was there, {told[1]} times the new one")
    assert min(told) >= 2 and left == ["the old file"] * told[0] + [whole] * told[1]


@pytest.mark.slow
def test_writing_in_place_is_noticed(source: Path, tmp_path: Path) -> None:
    """The negative control of the tests above: a packed file under its own name before it is whole."""
    writing = preparing(source, tmp_path, workers=1)
    writing.clear()
    assert writing.start(points.in_place, points.before_complete).end() == KILLED
    assert writing.output.exists() and problems(writing.output)
    with pytest.raises(AssertionError):
        writing.left()


@pytest.mark.slow
@pytest.mark.parametrize("working", [True, False], ids=["decoding", "writing"])
def test_workers_end_with_the_process_that_started_them(source: Path, tmp_path: Path, working: bool) -> None:
    writing = preparing(source, tmp_path, workers=2)
    writing.clear()
    reached = tmp_path / "reached"
    child = writing.start(partial(points.waiting_to_complete, reached))
    child.wait_for(lambda: len(members(child.group)) == 3 if working else reached.exists())
    assert len(members(child.group)) == 3
    child.kill(alone=True)
    died = time.monotonic()
    while members(child.group):
        assert time.monotonic() < died + SECONDS
        time.sleep(0.01)
    assert writing.left() == "nothing"
    writing.whole()


@pytest.mark.parametrize("kind", ["prepare", "add"])
def test_a_second_process_on_one_file_is_turned_away_until_the_first_is_killed(
    source: Path, tmp_path: Path, kind: str
) -> None:
    writing = preparing(source, tmp_path, 1) if kind == "prepare" else adding(tmp_path, 1)
    writing.clear()
    whole = writing.whole()
    writing.clear()
    reached = tmp_path / "reached"
    first = writing.start(partial(points.waiting_to_complete, reached))
    first.wait_for(reached.exists)
    second = writing.start()
    assert second.end() == BusyError.exit_code
    assert second.said().splitlines()[-1] == (
        f"Error: {writing.output} is being written by process {first.group}. "
        "Wait until it ends or stop it, then try again."
    )
    first.kill()
    assert writing.left() == ("nothing" if kind == "prepare" else "the old file")
    assert writing.whole() == whole


def test_a_domain_whose_labels_a_kill_took_is_told_and_made_whole(tmp_path: Path) -> None:
    """The labels of test images are a file of their own, and get their name after the packed one."""
    writing = adding(tmp_path, workers=1)
    writing.clear()
    assert writing.start(points.after_named).end() == KILLED
    truth = writing.output.with_name("mine-truth") / "mine_test.json"
    assert not truth.exists()
    again = writing.start()
    assert again.end() == 2
    assert again.said() == (
        f"Error: {writing.output} already has mine, but {truth} with its test labels is missing. "
        "Add --force to pack it again and write both.\n"
    )
    Writing((*writing.words, "--force"), writing.output).whole()
    with PackedFile(writing.output) as file:
        ids = file.column("mine", "test", "image_id").tolist()
    assert [entry["id"] for entry in json.loads(truth.read_text())["images"]] == ids


def test_a_file_that_appears_while_another_is_prepared_is_not_replaced(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.h5"

    def say(line: str) -> None:
        if line.startswith("packing") and not output.exists():
            prepare([source], output, name="first")

    with pytest.raises(UsageError, match="mine.h5 already exists"):
        prepare([source], output, PackOptions(workers=1, say=say))
    with PackedFile(output) as file:
        assert file.benchmark.name == "first"
