"""Knobs set by name: from words on the command line, with errors that say what to write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.errors import UsageError
from decathlon.models.registry import find_method, read_options
from tests.helpers.marks import slow


@pytest.mark.parametrize(
    ("method", "word", "message"),
    [
        ("piggyback", "lr", "expected NAME=VALUE, got 'lr'"),
        ("piggyback", "rate=1", "method 'piggyback' has no option 'rate'. Choose one of: "),
        ("piggyback", "own_norm=true", "method 'piggyback' has no option 'own_norm'. Did you mean own_norms?"),
        ("piggyback", "ternay=true", "Did you mean ternary"),
        ("piggyback", "ternary=maybe", "ternary is 'maybe', it must be true or false"),
        ("piggyback", "lr=fast", "lr is 'fast', it must be a number"),
        ("parallel", "init=Zero", "method 'parallel': init is 'Zero', it must be published or zero"),
        ("scratch", "init=zero", "method 'scratch' has no options. Leave out 'init=zero'"),
    ],
)
def test_a_wrong_setting_is_explained(method: str, word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_options(method, [word])


@pytest.mark.parametrize(
    ("method", "values"),
    [("piggyback", {"lr": 0.0}), ("piggyback", {"lr": float("nan")}), ("parallel-svd", {"rank": 2})],
)
def test_a_value_out_of_range_is_refused(method: str, values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"method '{method}': .* must be"):
        find_method(method).choose(values)


def test_an_option_set_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="'lr' is set twice"):
        read_options("piggyback", ["lr=1", "lr=0.1"])


def test_settings_become_values_of_the_options_type() -> None:
    found = read_options("piggyback", ["ternary=yes", "lr=1e-3"])
    assert found == {"ternary": True, "lr": 0.001}
    kind = find_method("piggyback")
    assert kind.label(kind.choose(found)) == "piggyback ternary=true lr=0.001"
    assert kind.label(kind.options) == "piggyback"


def test_a_wrong_setting_ends_the_command_before_anything_is_made(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", "--data", "x.h5", "--method", "dan", "--set", "diagnal=true", "-o", str(out)]
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, UsageError) and "Did you mean diagonal" in str(done.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    "words", ["--method dan --set diagnal=true", slow("--method dan --recipe quik"), slow("--method dam")]
)
def test_a_mistake_is_reported_before_timm_is_loaded(words: str) -> None:
    program = (
        "import sys\nfrom decathlon.cli.main import command\nfrom decathlon.errors import UsageError\n"
        "try: command.main(sys.argv[1:], standalone_mode=False)\n"
        "except UsageError: sys.exit('timm' in sys.modules)"
    )
    arguments = ["train", "--data", "x.h5", *words.split(), "-o", "r"]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


def test_a_method_is_explained_with_its_options() -> None:
    output = CliRunner().invoke(command, ["methods", "piggyback"]).output
    assert "arxiv.org/abs/1801.06519" in output and "--set ternary=false" in output and "Trunk: frozen" in output
