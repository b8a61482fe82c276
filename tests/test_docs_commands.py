"""README and docs/: every command is run as it is typed, in a fresh folder, and what it prints is compared."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from decathlon.cli.main import command
from decathlon.cli.quickstart import DIFFER
from decathlon.config.recipe_files import find_recipe
from decathlon.data_prep.download.mirrors import known_files
from decathlon.data_prep.synth.write import synthesize
from tests.helpers.house import ROOT
from tests.helpers.marks import quickly
from tests.helpers.pages import PAGES, SMALL, blocks, small_recipe, typed

# Whose Python is run, by tests/test_docs.py and tests/test_contributing.py.
PYTHON = {"CONTRIBUTING.md", "docs/architecture.md", "docs/data.md", "docs/python.md", "docs/serving.md"}

# What a reader has trained before the commands of a page, besides the pipeline of the README.
TRAINED = {"docs/scoring.md": ("finetune", "feature"), "docs/serving.md": ("parallel",)}
TRAIN = "decathlon train --data runs/synth.h5 --recipe quick --trunk runs/trunk --method {0} -o runs/{0}"
PREDICT, SCORE = "decathlon predict runs/{0} --data runs/synth.h5", "decathlon score runs/{0} --truth runs/source"


def run(line: str) -> None:
    command.main(shlex.split(line, comments=True)[1:], standalone_mode=False)


COMMANDS = [page for page in sorted(PAGES) if page.startswith("docs/") and typed(page)]


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"CONTRIBUTING.md"}))
def test_no_block_is_left_out(page: str) -> None:
    for kind, text in blocks(page):
        assert kind, f"{page}: no test runs this block:\n{text}"
        assert kind != "python" or page in PYTHON, f"{page}: no test runs its Python"
        assert kind != "toml" or page in ("docs/data.md", "docs/recipes.md"), f"{page}: no test reads its TOML"
        if kind == "commands":
            lines = [line for line in text.splitlines() if line != "export PATH=$PWD/.venv/bin:$PATH"]
            assert all(line.startswith("decathlon ") for line in lines), f"{page}: no test runs all of\n{text}"
        if kind == "make":
            targets = re.findall(r"^make ([\w-]+)", text, re.MULTILINE)
            assert set(targets) <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the pipeline of the README was typed, with a benchmark and a recipe that are small."""
    writer = sys.modules[synthesize.__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "synthesize", partial(synthesize, table=SMALL))
        patch.setattr("decathlon.config.recipe_files.find_recipe", small_recipe)
        with patch.context() as inside:
            inside.chdir(tmp_path_factory.mktemp("pipeline"))
            for line in typed("README.md"):
                run(line)
            folder = Path.cwd()
        yield folder


def test_the_pipeline_of_the_readme_works_as_typed(pipeline: Path) -> None:
    assert 8 <= len(typed("README.md")) <= 10
    assert (pipeline / "runs" / "points.png").exists() and (pipeline / "runs" / "digits.safetensors").exists()


@pytest.mark.parametrize("page", quickly(COMMANDS, "docs/data.md", "docs/training.md"))
def test_the_commands_of_a_page_work_as_typed(
    page: str, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pipeline / "runs", "runs")
    for line in (form.format(name) for name in TRAINED.get(page, ()) for form in (TRAIN, PREDICT, SCORE)):
        run(line)
    with zipfile.ZipFile("results.zip", "w") as archive:
        archive.write("runs/mtan/results.json", "results.json")
    with zipfile.ZipFile("truth.zip", "w") as archive:
        for file in Path("runs/source/annotations").glob("*_test.json"):
            archive.write(file, file.name)
    for made in re.findall(r"train .* -o (runs/\w+)", "\n".join(typed(page))):  # data and runs are not replaced
        shutil.rmtree(made, ignore_errors=True)
    for made in set(re.findall(r"predict (runs/\w+)", "\n".join(typed(page)))):
        Path(made, "results.json").unlink()
    for line in typed(page):
        run(line)


def test_the_toml_of_the_pages_is_read(tmp_path: Path) -> None:
    for number, (kind, text) in enumerate(blocks("docs/recipes.md")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        if kind == "toml":
            asked = {name: value for name, value in tomllib.loads(text).items() if name not in ("base", "domains")}
            recipe = find_recipe(str(file))
            assert asked == {name: getattr(recipe, name) for name in asked}
    (text,) = (text for kind, text in blocks("docs/data.md") if kind == "toml")
    (tmp_path / "mirrors.toml").write_text(text)
    ((name, table),) = tomllib.loads(text)["files"].items()
    assert known_files(tmp_path / "mirrors.toml")[name].mirrors[0] == table["mirrors"][0]


def plain(line: str) -> str:
    """Return a printed line without what time, machine and the number of epochs change, and without widths."""
    line = re.sub(r"\b\d+\.\d+|\b[\d,]+(?= images in| s\b| images/s| MB\b| epochs?\b)|(?<=epochs )\d+", "#", line)
    return re.sub("─+", "─", " ".join(line.split())).replace("epochs", "epoch")


def session(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every command of a session with the lines that the page shows of its output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, *shown = part.rstrip("\n").splitlines()
        yield line, shown


def assert_shown(shown: list[str], printed: str) -> None:
    """Fail unless the lines of a page stand in an output, in order; `…` stands for any number of lines."""
    found, place = [plain(line) for line in printed.splitlines()], 0
    for line in map(plain, shown):
        if line not in ("", "…"):
            assert line in found[place:], f"not printed any more: {line}\n{printed}"
            place = found.index(line, place) + 1


def test_a_session_that_is_not_printed_any_more_is_found() -> None:
    assert_shown(["wrote a, in 1.5 s", "…", "mean   3.25"], "note\nwrote a, in 0.7 s\nx\nmean 1.00\n")
    with pytest.raises(AssertionError, match="not printed any more: mean"):
        assert_shown(["mean 3.25"], "means 3.25")
    with pytest.raises(AssertionError, match="not printed any more: b"):
        assert_shown(["a", "b"], "b\na\n")


def test_the_demo_says_what_the_readme_says_of_other_machines() -> None:
    rows = re.findall(r"^\| (?:AMD|Intel) .*? \| [\d.]+, ([\d.]+) \|", PAGES["README.md"], re.MULTILINE)
    assert len(rows) == 3 and re.findall(r"\d+\.\d", DIFFER) == rows
    (table,) = (text for kind, text in blocks("README.md") if kind == "table")
    assert re.search(rf"^mtan .* {rows[0]}$", table, re.MULTILINE)


@pytest.mark.slow
def test_the_first_session_prints_what_the_page_shows(tmp_path: Path) -> None:
    """The whole session at full size, but for one epoch in place of twenty."""
    (tmp_path / "one.toml").write_text('base = "quick"\nepochs = 1\n')
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def printed(line: str) -> str:
        words = shlex.split(line.replace("--recipe quick", "--recipe one.toml"))
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    (text,) = (text for kind, text in blocks("docs/quickstart.md") if kind == "session")
    for line, shown in session(text):
        if line.startswith("decathlon leaderboard"):  # 'predict' and 'score' run for all three, says the page
            for name in ("trunk", "feature"):
                printed(f"decathlon predict demo/{name} --data demo/synth.h5")
                printed(f"decathlon score demo/{name} --truth demo/source")
        assert_shown(shown, board := printed(line))
    (table,) = (text.splitlines() for kind, text in blocks("README.md") if kind == "table")
    rows = {line.split("  ")[0]: line.split() for line in board.splitlines()}
    for line in (line for line in table if "─" not in line):
        words, now = line.split(), rows[line.split("  ")[0]]
        same = len(words) if line.startswith(("name", "baseline", "majority")) else 3  # the rest is of the training
        assert now[:same] == words[:same], line
