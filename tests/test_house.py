"""The house: rooms in order, a charter in each, packaging lists what is there, the command starts fast."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import decathlon
from decathlon.cli.main import command, main
from tests.helpers.house import (
    EXCEPTIONS,
    PREP_ROOMS,
    ROOMS,
    ROOT,
    TOP,
    all_imports,
    fault,
    imports,
    modules,
)

TOP_FOLDERS = {"decathlon": "decathlon", **{name: f"decathlon.{name}" for name in TOP}}
MOST_FILES = 14  # in a room, beside its charter
# Folders of one kind of file each, found by looking into the folder: they grow as the project does.
COLLECTIONS = [
    "adapters",
    "cli",
    "data_prep.originals.domains",
    "kernels",
    "training.auxiliaries",
    "training.objectives",
    "training.weightings",
]
# Rooms whose __init__.py is more than a charter, each with its reason.
BUSY = {
    "decathlon": "exports the public names, lazily",
    "decathlon.cli.data": "is itself a command, which the group `decathlon` finds by its name",
}
COMMANDS = [
    "",
    "data",
    "data synth",
    "data prepare",
    "data add",
    "data check",
    "data info",
    "data stats",
    "data show",
    "data export",
    "train",
    "predict",
]
COMMANDS += ["score", "params", "leaderboard", "methods", "domains", "recipes", "trunks", "quickstart", "merge"]
COMMANDS += ["data fetch", "data build", "verify", "affinity", "branch"]


PACKAGES = {name: path for name, path in modules().items() if path.name == "__init__.py"}


def test_every_folder_with_code_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) == set(PACKAGES)
    without = {path.parent for path in modules().values()} - {path.parent for path in PACKAGES.values()}
    assert not without, "folders without an __init__.py"


def test_every_room_has_its_place_in_the_order() -> None:
    for folder, rooms in (("decathlon", ROOMS), ("data_prep", PREP_ROOMS)):
        inside = {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")} - TOP_FOLDERS.keys()
        assert inside == set(rooms), f"{folder}/: name every room in tests/helpers/house.py, and no other"
    loose = {path.stem for path in (ROOT / "decathlon").glob("*.py")}
    assert loose == {"__init__", "__main__", "errors"}
    assert {path.stem for path in (ROOT / "data_prep").glob("*.py")} == {"__init__"}


def test_imports_run_one_way() -> None:
    faults = [line for each in all_imports() if (line := fault(each))]
    assert not faults, "\n".join(faults)


def test_every_exception_is_needed() -> None:
    for module, target in EXCEPTIONS:
        found = [each for each in all_imports() if each.module == module]
        assert any((each.target + ".").startswith(target + ".") for each in found), f"{module} -> {target}"


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("system.files", "import decathlon.data.domains", "upward, from system to data"),
        ("system.files", "from decathlon import training", "upward, from system to training"),
        (
            "models.method",
            "def f():\n    from decathlon.runs import record",
            "upward, from models to runs",
        ),
        ("data.domains", "if TYPE_CHECKING:\n    from decathlon.models.method import Method", "upward"),
        ("data.domains", "import_module('decathlon.models.method')", "upward, from data to models"),
        ("data.domains", "import_module(f'decathlon.models.{name}')", "upward, from data to models"),
        ("data.domains", "ENTRY = 'decathlon.models.method:Method'", "upward, from data to models"),
        ("system.files", "from ..data import domains", "upward, from system to data"),
        ("system", "from .files import x\nfrom ..data import domains", "system:2 imports decathlon.data.domains"),
        ("reports.page", "from decathlon.inference import predict", "across its floor, from reports to inference"),
        ("inference.predict", "from decathlon.reports import page", "across its floor"),
        ("models.method", "import decathlon.adapters.mtan", "decathlon/ does not know adapters"),
        ("training.loop", "from decathlon.cli.main import main", "decathlon/ does not know cli"),
        ("training.loop", "from decathlon import load_run", "import a name from where it is defined"),
        ("training.loop", "import decathlon", "import a name from where it is defined"),
        ("adapters.mtan", "from decathlon.system import seeding", "adapters may import only errors, models"),
        ("data_prep.packing.plan", "import decathlon.reports.page", "data_prep may import only errors, system"),
        ("data_prep.sources.archives", "from decathlon.data_prep.packing import plan", "upward, from sources"),
        ("data_prep.synth.write", "from decathlon.data_prep.custom import add", "across its floor, from synth"),
    ],
)
def test_an_import_against_the_order_is_found(module: str, source: str, message: str) -> None:
    found = imports(f"decathlon.{module}", source, is_package="." not in module)
    assert message in "\n".join(map(fault, found))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "training.loop",
            "from decathlon.data.domains import Domain\nfrom decathlon.errors import X",
        ),
        ("training.loop", "from decathlon.training import trainer\nfrom . import optimizer"),
        ("system.files", "NAME = 'decathlon.json'  # a file, no module"),
        ("system.files", "'decathlon.models may not be imported here, this only speaks of it'"),
        ("adapters.mtan", "from decathlon.models.method import Method\nfrom decathlon.adapters import dense"),
        ("data_prep.custom.add", "from decathlon.reports.tables import table\nimport decathlon.data_prep.packing"),
        ("cli.train", "from decathlon.experiments import launch\nimport decathlon.data_prep.synth.write"),
        ("models.registry", "import_module(f'decathlon.adapters.{name}')"),
    ],
)
def test_an_import_along_the_order_is_not(module: str, source: str) -> None:
    assert not any(map(fault, imports(f"decathlon.{module}", source)))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_a_charter_and_nothing_else_in_its_init(package: str) -> None:
    tree = ast.parse(PACKAGES[package].read_text())
    assert len(ast.get_docstring(tree) or "") > 20, "its docstring says what belongs into the room"
    assert len(tree.body) == 1 or package in BUSY, "code goes into a file with a name"


def test_no_room_is_crowded() -> None:
    for package, path in PACKAGES.items():
        files = [file.name for file in path.parent.glob("*.py") if file != path]
        if package.removeprefix("decathlon.") not in COLLECTIONS:
            assert len(files) <= MOST_FILES, f"{package} has {len(files)} files: fold two, or open a room"


def test_every_module_that_a_text_of_the_package_names_is_there() -> None:
    for module, path in modules().items():
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        for name in re.findall(r"\b(decathlon(?:\.[a-z_]+\b)+)(?!\()", "\n".join(map(str, texts))):
            head = name.split(".")[1]
            known = name in modules() or name.rpartition(".")[0] in modules() or head in decathlon.__all__
            assert known or head == "json", f"{module} names {name}"


def test_data_preparation_knows_no_torch() -> None:
    for module, path in modules().items():
        if module.startswith("decathlon.data_prep"):
            heads = {name.split(".")[0] for name in outside(path.read_text())}
            assert not heads & {"torch", "timm", "torchvision"}, module


def outside(source: str) -> set[str]:
    """Return the names of all modules that a source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", ["decathlon", "decathlon.cli.main"])
def test_the_command_is_a_module_too(module: str) -> None:
    asked = [sys.executable, "-m", module]
    done = subprocess.run([*asked, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("decathlon, version ")
    wrong = subprocess.run([*asked, "trian"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Did you mean train" in wrong.stderr


def test_every_command_explains_itself_without_torch() -> None:
    code = (
        "import sys; from decathlon.cli.main import command\n"
        f"for words in {COMMANDS!r}:\n"
        "    try: command.main([*words.split(), '--help'])\n"
        "    except SystemExit as end: assert end.code == 0, words\n"
        "    heavy = {'torch', 'timm', 'numpy', 'h5py', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "    assert not heavy, (words, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = done.stdout.split("Usage: ")[1:]
    assert len(pages) == len(COMMANDS) and all(len(page.splitlines()) > 3 for page in pages)


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    program = Path(sys.executable).with_name("decathlon")
    if not program.exists():
        pytest.skip("the command is not installed beside this python")
    times = []
    for _ in range(5):  # processor seconds: a busy machine says nothing about the command
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([program, "--help"], check=True, capture_output=True)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
    assert sorted(times)[2] < 0.3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "no command 'trian'. Did you mean train"),
        ("train --data x.h5 --method mtam -o r", "unknown method 'mtam'. Did you mean mtan"),
        ("train -o r", "a new run needs --data FILE.h5 and --method NAME"),
        ("train --data x.h5 --method mtan --recipe quik -o r", "unknown recipe 'quik'. Did you mean quick?"),
        ("train --data x.h5 --method mtan --lr -1 -o r", "lr is -1.0, it must be a number from 0"),
        ("params", "give either a run directory or --method NAME"),
        ("params runs/x --trunk resnet26", "--set, --trunk and --freeze cannot be combined with a run directory"),
        ("params --method mtan --trunk wrn-28-x", "unknown trunk 'wrn-28-x'. Did you mean"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["decathlon", *words.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_the_lists_have_a_line_each() -> None:
    for words in ("methods", "recipes", "trunks", "domains"):
        done = CliRunner().invoke(command, [words])
        assert done.exit_code == 0 and len(done.output.splitlines()) >= 4
