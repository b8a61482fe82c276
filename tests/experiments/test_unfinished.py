"""A run that has not finished training: whoever needs more of it says so, and how to train on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from decathlon.cli.main import main
from tests.helpers.packs import write_truth
from tests.helpers.runs import dying_at, go


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that died, one that is done, the truth, and results of another program."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch, dying_at(monkeypatch, 10):
        go(tiny, folder / "dead")
    go(tiny, folder / "done")
    write_truth(folder / "truth")
    (folder / "other.json").write_text('[{"image_id": 1, "category_id": 1}]')
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "leaderboard {run}",
        "params {run}",
        "predict {run} --data {data}",
        "merge {run} apples -o merged.safetensors",
        "score {run} --truth truth",
        "score other.json --truth truth --baseline {run}",
    ],
)
def test_it_says_that_it_is_not_trained_to_the_end(
    words: str, folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    told = "dead has not finished training. Run 'decathlon train --resume -o dead' first."
    for run, expected in (("dead", True), ("done", False)):
        monkeypatch.setattr(sys, "argv", ["decathlon", *words.format(run=run, data=tiny).split()])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err
        assert (told in said) == expected, said
        assert end.value.code == 2 or not expected
