"""Names from outside files are shown, and do nothing else: neither to a terminal nor to the lines of a message."""

from __future__ import annotations

import json
import os
import pickle
import sys

import pytest

from decathlon.cli._failures import report
from decathlon.errors import DataError
from decathlon.system.strict_json import dump_json, show_json
from decathlon.system.text import printable, say
from tests.helpers.house import ROOT

STEERING = {
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "\x9b31m": r"\x9b31m",
    "a\x7f\b\r\n\tb": r"a\x7f\x08\r\n\tb",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u2066a\u2069\u200e\u200f\u061c": r"\u2066a\u2069\u200e\u200f\u061c",
    "a\u2028b\u2029c\x85d": r"a\u2028b\u2029c\x85d",
    "a\u200bb\ufeff\u2060\u00ad\u034f\u3164": r"a\u200bb\ufeff\u2060\xad\u034f\u3164",
    "a\u200db": r"a\u200db",  # joins nothing
    "\U000e0041": r"\U000e0041",
    "caf\udce9": r"caf\udce9",
}
ORDINARY = ["é ü e\u0301", "日本\u3000語", "a\u00a0b", "می\u200cخواهم", "👩\u200d🔬", "[bold]x[/]", "$x$ \\n", ""]


@pytest.mark.parametrize("name", STEERING)
def test_what_steers_or_hides_is_escaped(name: str) -> None:
    assert printable(name) == STEERING[name] == printable(STEERING[name])
    assert str(DataError(f"{name} is empty. Restore a copy.")) == f"{STEERING[name]} is empty. Restore a copy."


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_letters_stay(name: str) -> None:
    assert printable(name) == name


def test_the_lines_of_an_error_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    error = DataError("a\nError: all is well", ["  image a\nb", "  image c"])
    assert report(error) == 3 and report(pickle.loads(pickle.dumps(error))) == 3
    assert capsys.readouterr().err == 2 * "Error: a\\nError: all is well\n  image a\\nb\n  image c\n"


def test_an_internal_error_and_its_traceback_are_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECATHLON_TRACEBACK", "1")
    assert report(KeyError("\x1b[2J")) == report(ValueError("\x1b[2J\u202e")) == 1
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\u202e" not in told and "ValueError: \\x1b[2J\\u202e" in told


def test_commands_print_notes_through_say() -> None:
    """Anything else on standard error would have to be cleaned, and end the work where nobody reads it."""
    found = {path.name for path in (ROOT / "cli").rglob("*.py") if "err=True" in path.read_text()}
    assert found == {"quickstart.py"}  # in bold, and cleaned


def test_json_for_a_terminal_is_the_same_json() -> None:
    value = {"name": "\x1b[2J \x9b \u202e \U000e0041 日本 👩\u200d🔬", "list": [1, 2]}
    shown = show_json(value)
    assert json.loads(shown) == value
    assert shown.count("\n") == dump_json(value).count("\n")
    assert all(c.isprintable() or c in "\n\u200d" for c in shown) and "日本 👩\u200d🔬" in shown


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_line_that_nobody_can_read_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        say("wrote x")
        monkeypatch.setattr(sys, "stderr", None)
        say("wrote x")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # what waits in the buffer can go
