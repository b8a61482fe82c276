"""The whole road on real images: a small benchmark of ten domains, through the command as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from decathlon.data_prep.challenge.layout import open_source
from tests.conftest import outside

pytestmark = pytest.mark.slow
CODE = "from decathlon.cli.main import main; main()"


@pytest.fixture(scope="module")
def decathlon(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return a function that runs the command in a folder of its own and gives back its standard output."""
    folder = tmp_path_factory.mktemp("mini")

    def run(*words: object) -> str:
        command = [sys.executable, "-c", CODE, *map(str, words)]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0, words
        return done.stdout

    return run


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled test annotations, in a folder."""
    folder = tmp_path_factory.mktemp("truth")
    source = open_source([outside("DECATHLON_MINI", "data/mini.tar.gz")])
    for name in source.names("annotations"):
        if name.endswith("_test.json"):
            (folder / Path(name).name).write_bytes(source.read(name))
    return folder


def test_every_domain_ends_clearly_above_its_majority_class(decathlon: Callable[..., str], truth: Path) -> None:
    decathlon("data", "prepare", outside("DECATHLON_MINI", "data/mini.tar.gz"), "-o", "mini.h5", "--name", "mini")
    common = ["--data", "mini.h5", "--recipe", "quick", "--threads", "1", "--eval-every", "12"]
    decathlon("train", *common, "--method", "bn", "--trunk", "wrn-16-1", "-o", "trunk")
    decathlon("train", *common, "--method", "mtan", "--trunk", "trunk", "-o", "mtan")
    decathlon("predict", "mtan", "--data", "mini.h5")
    found = json.loads(decathlon("score", "mtan", "--truth", truth, "--json"))
    assert found["protocol"]["fit"] == "train" and found["protocol"]["benchmark"] == "mini"
    assert len(found["domains"]) == 10 and found["score"] is None  # no baseline: no points
    for name, domain in found["domains"].items():
        assert domain["accuracy"] > domain["majority"] + 0.1, name
    assert found["mean_accuracy"] > 0.5
    again = json.loads(decathlon("score", "mtan", "--truth", truth, "--baseline", "mtan/score.json", "--json"))
    assert again["score"] == pytest.approx(2500)
