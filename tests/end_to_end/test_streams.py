"""Output that is closed, full or read by nobody, and variables of the environment that make no sense."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from decathlon.cli.main import UNWANTED, main
from decathlon.scoring.score import DomainScore, Score
from decathlon.system.files import write_json
from tests.helpers.machine import CODE, decathlon, refused
from tests.helpers.marks import quickly, slow
from tests.helpers.packs import write_pack
from tests.helpers.runs import go

FORMS = [f"leaderboard --format {form}" for form in ("csv", "json", "latex", "markdown", "table")]
OTHERS = ["methods", "recipes url", "domains", "params --method bn --json", "--help"]
CLOSED = [">&-", "<&- >&-", "<&- >&- 2>&-"]
FOR_PICTURES = {
    "MPLBACKEND": "nonsense", "COLUMNS": "abc", "TERM": "nonsense", "TMPDIR": "/x", "HOME": "/proc",
    "MPLCONFIGDIR": "/proc/x", "MATPLOTLIBRC": "/nowhere", "SOURCE_DATE_EPOCH": "abc",
}  # fmt: skip
FOR_PREDICTIONS = {
    "LANG": "nonsense", "OMP_NUM_THREADS": "abc", "MKL_NUM_THREADS": "abc", "HDF5_USE_FILE_LOCKING": "abc",
    "LINES": "-1", "NO_COLOR": "x", "HDF5_DRIVER": "abc",
}  # fmt: skip


def redirected(how: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command with its streams redirected as in a shell."""
    shell = ["bash", "-c", f'exec "$@" {how}', "bash", sys.executable]
    return subprocess.run(
        [*shell, "-c", CODE, *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("how", quickly(CLOSED, CLOSED[0]))
@pytest.mark.parametrize("words", quickly([*FORMS, *OTHERS], FORMS[0]))
def test_a_closed_output_is_no_failure(how: str, words: str) -> None:
    done = redirected(how, *words.split())
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr


def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    """What a library prints for standard error would be written into it."""
    code = "import sys; from decathlon.cli.main import _fill_closed_streams as fill; fill(); "
    shell = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", sys.executable, "-c"]
    assert subprocess.run([*shell, f"{code} sys.exit(open('/dev/null').fileno())"], check=False).returncode > 2


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("how", ["2>/dev/full", "2> >(true)"])
def test_work_goes_on_where_its_notes_go_nowhere(tmp_path: Path, how: str) -> None:
    data, run, results = write_pack(tmp_path / "tiny.h5"), tmp_path / "run", tmp_path / "results.json"
    options = "--method bn --trunk wrn-10-1 --epochs 1 --batch 8 --size 16".split()
    assert redirected(how, "train", "--data", data, "boats", *options, "-o", run).returncode == 0
    assert redirected(how, "predict", run, "--data", data, "-o", results).returncode == 0
    assert decathlon("verify", data, run, results).returncode == 0
    assert redirected(how, "data", "info", tmp_path / "none.h5").returncode == 3


def test_no_library_reads_what_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNWANTED:
        monkeypatch.setenv(name, "nonsense")  # matplotlib cannot be imported with it, and HDF5 crashes
    monkeypatch.setattr(sys, "argv", ["decathlon", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert not os.environ.keys() & set(UNWANTED)


@pytest.mark.slow
def test_nonsense_in_the_environment_changes_no_picture(tmp_path: Path) -> None:
    assert decathlon("leaderboard", "--plot", tmp_path / "usual.svg").returncode == 0
    for name, value in FOR_PICTURES.items():
        file = tmp_path / f"{name}.svg"
        done = decathlon("leaderboard", "--plot", file, env={name: value})
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert file.read_bytes() == (tmp_path / "usual.svg").read_bytes()


@pytest.mark.slow
def test_nonsense_in_the_environment_changes_no_predictions(tiny: Path, tmp_path: Path) -> None:
    run = go(tiny, tmp_path / "run")
    assert decathlon("predict", run.folder, "--data", tiny).returncode == 0
    for name, value in FOR_PREDICTIONS.items():
        out = tmp_path / f"{name}.json"
        done = decathlon("predict", run.folder, "--data", tiny, "-o", out, env={name: value})
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert out.read_bytes() == (run.folder / "results.json").read_bytes()


@pytest.mark.parametrize(
    ("variable", "value", "library"),
    [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "abc", "huggingface_hub"),
        slow("HF_HUB_ETAG_TIMEOUT", "", "huggingface_hub"),
        slow("TIMM_FUSED_ATTN", "abc", "timm"),
        slow("TORCH_LOGS", "nonsense", "torch"),
        slow("PYTORCH_JIT", "x", "torch"),
        slow("TORCH_DISTRIBUTED_DEBUG", "nonsense", "torch"),
    ],
)
def test_a_variable_that_a_library_cannot_read_is_named(variable: str, value: str, library: str) -> None:
    done = decathlon("params", "--method", "bn", "--trunk", "timm:resnet18.a1_in1k", env={variable: value})
    said = refused(done, 1)
    assert said.startswith(f"{library} cannot be loaded (") and said.endswith(f". Correct or unset {variable}.")


@pytest.mark.slow
def test_settings_of_a_library_that_are_not_text_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xff\n")
    env = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    said = refused(decathlon("leaderboard", "--plot", tmp_path / "x.svg", env=env), 1)
    assert "matplotlib cannot be loaded ('utf-8' codec can't decode" in said


@pytest.mark.parametrize(
    "words",
    [
        "predict run --data x.h5 --threads 999999999",
        slow("predict run --data x.h5 --threads 0"),
        slow("train --data x.h5 --method bn -o run --threads 999999999"),
        slow("data prepare x -o x.h5 --workers 999999999"),
        slow("data add x.h5 --name a --from a --workers -1"),
    ],
)
def test_no_command_starts_a_million_threads(words: str) -> None:
    assert "is not in the range 1<=x<=" in refused(decathlon(*words.split()), 2)


def test_a_score_and_a_baseline_are_two_files(tmp_path: Path) -> None:
    file = tmp_path / "score.json"
    said = refused(decathlon("score", "x.json", "--truth", "x", "-o", file, "--save-baseline", file), 2)
    assert said == "-o and --save-baseline name the same file. Choose two names."


@pytest.mark.parametrize("form", quickly(["table", "csv", "json", "markdown"], "csv"))
def test_names_in_files_do_not_steer_a_terminal(tmp_path: Path, form: str) -> None:
    """Where a message, a note or a table names what a file of somebody else's holds."""
    name = "\x1b]0;title\x07\x9b2J\u202e[red]"
    score = Score((DomainScore(name, 0.9, 0.1, 10, None),), name, protocol={"benchmark": name, "fit": name})
    write_json(tmp_path / "score.json", score.to_json())
    (tmp_path / "twice.json").write_text('{"\\u001b[2J": 1, "\\u001b[2J": 2}')
    shown = decathlon("leaderboard", tmp_path / "score.json", "--format", form)
    wrong = decathlon("leaderboard", tmp_path / "twice.json", "--format", form)
    assert (shown.returncode, wrong.returncode) == (0, 3), shown.stderr
    assert "red" in shown.stdout and "duplicate key '\\x1b[2J'" in wrong.stderr
    for text in (shown.stdout, shown.stderr, wrong.stderr):
        assert all(letter.isprintable() or letter == "\n" for letter in text), text
