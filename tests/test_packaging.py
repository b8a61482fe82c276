"""The package: which versions it supports, and the wheel, installed into an empty environment and used there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from decathlon.models.registry import METHODS
from tests.helpers.house import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = ("adapters", "cli", "data_prep", "decathlon")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


def test_the_same_versions_of_python_are_named_everywhere() -> None:
    prefix = "Programming Language :: Python :: "
    versions = [each.removeprefix(prefix) for each in PROJECT["classifiers"] if each.startswith(prefix)]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert f"Python {', '.join(versions[:-1])} or {versions[-1]} and make" in (ROOT / "README.md").read_text()
    assert f"version_info < ({versions[0].replace('.', ', ')})" in (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    # what builds is in the environment (extra `dev`), unless that is older: then pip gets it
    here = int(version("setuptools").partition(".")[0]) >= 77
    words = [
        "wheel",
        "--no-deps",
        *["--no-build-isolation"] * here,
        "--wheel-dir",
        str(source / "dist"),
        str(source),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel alone; its dependencies are those of the tests."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    words = ["--python", str(home / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    (packages,) = home.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "dependencies.pth").write_text(
        "\n".join(others)
    )  # a .pth in those, of an editable install, is not read
    return home / "bin"


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = set()
    for name in FOLDERS:
        for path in (ROOT / name).rglob("*"):  # does not follow the links inside decathlon/
            if path.is_file() and "__pycache__" not in path.parts:
                place = path.relative_to(ROOT).as_posix()
                wanted.add(place if name == "decathlon" else f"decathlon/{place}")
    assert held == wanted


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}

    def run(program: str, *words: str) -> str:
        done = subprocess.run(
            [installed / program, *words], cwd=tmp_path, env=clean, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import decathlon, decathlon.cli.main, decathlon.adapters as a; print(a.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "Usage: decathlon" in run("decathlon", "--help")
    names = {line.split()[0] for line in run("decathlon", "methods").splitlines() if line.strip()}
    assert set(METHODS.names()) <= names
    assert "epochs" in run("decathlon", "recipes", "common")  # recipes/*.toml
    assert "MTAN" in run("decathlon", "leaderboard")  # published.json
    assert re.search(r"decathlon-1\.0-data\.tar\.gz", run("decathlon", "data", "fetch", "--list"))  # mirrors.toml
    run("decathlon", "data", "synth", "source")  # synth.json
    run("decathlon", "data", "prepare", "source", "-o", "synth.h5")
    assert "digits" in run("decathlon", "data", "info", "synth.h5")
    assert "2.4" in run("decathlon", "params", "--method", "mtan", "--trunk", "wrn-16-1")
