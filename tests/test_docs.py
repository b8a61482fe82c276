"""README and docs/: the Python runs, commands parse, links and names lead somewhere, the diagram is the code's."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

import decathlon
from decathlon.cli.main import command
from decathlon.data_prep.synth.write import synthesize
from tests.helpers.house import EXCEPTIONS, ROOT, TOP, arrows, modules, room_edges, room_of
from tests.helpers.pages import FENCE, PAGES, SMALL, small_recipe

every_page = pytest.mark.parametrize("page", sorted(PAGES))

TESTS = "".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
FILE = re.compile(r"`((?:adapters|benchmarks|cli|data_prep|decathlon|docs|tests)/(?:[\w./-]*\.\w+|[\w/-]*/)?)`")
TEST = re.compile(r"`((?:\w+/)*test_\w+)`")
NAME = re.compile(r"`(decathlon(?:\.\w+)+)`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the Python of docs/python.md was run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decathlon, "synthesize", partial(synthesize, table=SMALL))
        patch.setattr(decathlon, "find_recipe", small_recipe)
        patch.chdir(tmp_path_factory.mktemp("docs"))
        run_python("docs/python.md")
        yield Path.cwd()


def run_python(page: str) -> None:
    """Run the Python of a page from top to bottom, as a reader would."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for language, text in FENCE.findall(PAGES[page]):
        if language == "python":
            exec(compile(text, page, "exec"), names)


def test_the_python_of_the_pages_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(folder / "runs" / "digits.safetensors", folder / "digits.safetensors")
    image, _ = decathlon.PackedDomain(folder / "runs" / "synth.h5", "digits", "val")[0]
    image.save(folder / "seven.png")
    run_python("docs/data.md")
    run_python("docs/serving.md")
    answer, groups = capsys.readouterr().out.splitlines()
    assert answer in "0123456789" and groups == "[['digits', 'toys']]"


def test_the_idea_in_the_middle_is_shown_by_code_that_runs() -> None:
    run_python("docs/architecture.md")


def test_the_pipeline_from_python_is_short() -> None:
    code = next(text for language, text in FENCE.findall(PAGES["docs/python.md"]) if language == "python")
    assert len([line for line in code.splitlines() if line]) <= 40


def test_every_name_that_a_page_gives_to_python_users_is_public() -> None:
    for _, text in FENCE.findall(PAGES["docs/python.md"] + PAGES["docs/serving.md"]):
        assert set(re.findall(r"\bdecathlon\.(\w+)", text)) <= set(decathlon.__all__)


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Yield every `decathlon ...` of a page, and whether it stands as a whole line to be typed."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"\s*(?:\$ )?decathlon (\S.*)", line):
                    yield re.split(r"\s{2,}", found[1])[0], True  # an explanation may follow
    for line in re.findall(r"`decathlon ([^`\n]+(?:\n[^`\n]+)?)`", FENCE.sub("", text)):
        yield " ".join(line.split()), False


def parse(line: str, whole: bool) -> None:
    """Raise AssertionError or click's own error where a command, an option or an argument is not there."""
    words = shlex.split(line, comments=True)
    found: click.Command = command
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        inner = found.get_command(click.Context(found), words[0])
        assert inner is not None, f"decathlon {line}: no command {words[0]}"
        found, words = inner, words[1:]
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    known = {name for each in found.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    assert set(given) <= known, f"decathlon {line}: no option {set(given) - known}"
    if whole and not {"...", "…", "|", "--help"} & set(words) and not isinstance(found, click.Group):
        found.make_context("decathlon", words)


@every_page
def test_every_command_line_parses(page: str) -> None:
    for line, whole in commands(PAGES[page]):
        try:
            parse(line, whole)
        except click.ClickException as error:
            pytest.fail(f"{page}: decathlon {line}: {error.format_message()}")


@pytest.mark.parametrize(
    "line", ["trian --data x.h5", "train --dato x.h5 --method bn -o r", "train x y -o", "predict --data x.h5"]
)
def test_a_command_line_that_does_not_parse_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        parse(line, whole=True)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_and_names_lead_somewhere(page: str) -> None:
    text = PAGES[page]
    for target, anchor in LINK.findall(FENCE.sub("", text)):
        file = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), f"{page} links to {target}{anchor}"
    for file_name in FILE.findall(text):
        assert (ROOT / file_name).exists(), f"{page} names {file_name}"
    tests = [path.as_posix() for path in ROOT.glob("tests/**/test_*.py")]
    for test in TEST.findall(text):
        found = f"def {test}(" in TESTS or any(path.endswith(f"/{test}.py") for path in tests)
        assert found, f"{page} names {test}"
    for name in NAME.findall(text):
        public = name.split(".")[1] in decathlon.__all__
        assert public or name in modules() or name.rpartition(".")[0] in modules(), f"{page} names {name}"


def test_every_page_can_be_found_from_the_readme() -> None:
    linked = {target for target, _ in LINK.findall(PAGES["README.md"])}
    assert {page for page in PAGES if page.startswith("docs/")} <= linked


def test_the_diagram_of_the_rooms_is_what_the_code_imports() -> None:
    text = next(text for language, text in FENCE.findall(PAGES["docs/architecture.md"]) if language == "mermaid")
    drawn = set()
    for begin, end in re.findall(r"^ *([\w &]+?) -+\.?-*>(?:\|[^|]*\|)? *([\w &]+)$", text, re.MULTILINE):
        drawn |= {(a, b) for a in begin.split(" & ") for b in end.split(" & ")}
    assert drawn == arrows(), "print the arrows with: python -m tests.helpers.house"


def test_the_table_of_the_readme_has_every_room_and_its_charter() -> None:
    for name, path in modules().items():
        if path.name == "__init__.py" and name.count(".") == 1:
            folder_name = path.parent.relative_to(ROOT).as_posix()
            assert f"| `{folder_name}/` |" in PAGES["README.md"], folder_name


def test_only_exceptions_are_drawn_against_the_order() -> None:
    against = {(room_of(module), room_of(target)) for module, target in EXCEPTIONS}
    assert {(a, b) for a, b in room_edges() if b in TOP and a not in TOP} <= against
