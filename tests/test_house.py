"""The house: packaging lists what is there, imports run one way, the command starts fast."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command, main

ROOT = Path(__file__).parents[1]
ROOMS = {"decathlon": "decathlon", "adapters": "decathlon.adapters", "cli": "decathlon.cli"}
ROOMS |= {"data_prep": "decathlon.data_prep"}
MAY_IMPORT = {
    "decathlon": {"decathlon"},
    "adapters": {"decathlon", "adapters"},
    "data_prep": {"decathlon", "data_prep"},
    "cli": {"decathlon", "data_prep", "cli"},
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
COMMANDS += ["data fetch", "data build", "verify"]


def python_files(room: str) -> list[Path]:
    return [path for path in sorted((ROOT / room).rglob("*.py")) if not (ROOT / room / path.name).is_symlink()]


def packages() -> set[str]:
    found = set()
    for folder, package in ROOMS.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            inner = path.parent.relative_to(ROOT / folder).parts
            if folder != "decathlon" or not inner or inner[0] not in ROOMS:
                found.add(".".join([package, *inner]))
    return found


def test_every_folder_with_code_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["setuptools"]["packages"]) == packages()


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_one_way(room: str) -> None:
    for path in python_files(room):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "decathlon" and len(parts) > 1:
                target = parts[1] if parts[1] in ROOMS else "decathlon"
                finds_methods = path.name == "registry.py" and target == "adapters"
                is_command = path.name == "__main__.py" and target == "cli"
                assert target in MAY_IMPORT[room] or finds_methods or is_command, f"{path} imports {name}"


def test_data_preparation_knows_no_torch() -> None:
    for path in python_files("data_prep"):
        assert not any(name.split(".")[0] in ("torch", "timm", "torchvision") for name in imported(path)), path


@pytest.mark.parametrize("module", ["decathlon", "decathlon.cli.main"])
def test_the_command_is_a_module_too(module: str) -> None:
    asked = [sys.executable, "-m", module]
    done = subprocess.run([*asked, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("decathlon, version ")
    wrong = subprocess.run([*asked, "trian"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Did you mean train" in wrong.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_explains_itself_without_torch(words: str) -> None:
    code = (
        "import sys; from decathlon.cli.main import command\n"
        f"try: command.main({[*words.split(), '--help']!r})\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'timm', 'numpy', 'h5py', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout and len(done.stdout.splitlines()) > 3


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
