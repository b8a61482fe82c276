"""Notes on standard error show names with brackets or colons as they are, and long paths on one line."""

from __future__ import annotations

import pytest

from decathlon.system.progress import TrainingProgress, download_bar, image_bar

ODD = "runs/[red]x[/red]/[/]/:smile:/" + "long/" * 60 + "run"


def test_lines_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingProgress().console.print(f"seed 0: {ODD}")
    for bar in (image_bar, download_bar):
        with bar() as (say, _):
            say(ODD)
    assert capsys.readouterr().err == f"seed 0: {ODD}\n{ODD}\n{ODD}\n"


def test_no_note_steers_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    TrainingProgress().console.print("seed 0: \x1b[2J\n\u202e")
    assert capsys.readouterr().err == "seed 0: \\x1b[2J\\n\\u202e\n"
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal, where the bars show
    with download_bar() as (_, progress):
        progress("\x1b]0;title\x07", 1, 2)
    with TrainingProgress().training("\x1b]0;title\x07", 2, 0):
        pass
    told = capsys.readouterr().err
    assert r"\x1b]0;title\x07" in told and "\x1b]" not in told and "\x07" not in told


def test_a_job_is_called_by_its_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal, where the bar shows
    monkeypatch.setenv("COLUMNS", "200")
    progress = TrainingProgress()
    with progress.training("[red]/[/x]", 2, 0):
        progress.step(3)
    assert "[red]/[/x]: 3 images in" in capsys.readouterr().err
