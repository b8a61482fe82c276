"""`decathlon data fetch` as a user calls it."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from decathlon.cli.main import command
from decathlon.data_prep.download.fetch import next_step
from decathlon.data_prep.download.mirrors import known_files, select
from decathlon.errors import DataError, DecathlonError, UsageError, VerificationError
from tests.helpers import web_server as web
from tests.helpers.web_server import Page, Server

BODY = random.Random(0).randbytes(300_000)
NAMES = ("one.zip", "two.zip")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of two files."""
    monkeypatch.setenv("no_proxy", "*")
    with web.serving() as server:
        for name in NAMES:
            server.pages[f"/{name}"] = Page(BODY)
        yield server


@pytest.fixture
def mirrors(server: Server, tmp_path: Path) -> Path:
    """A user's own file: both names, and a third of the group that nobody serves."""
    digest = hashlib.sha256(BODY).hexdigest()
    tables = [
        f'[files."{name}"]\ngroup = "birds"\nsha256 = "{digest}"\nmirrors = ["{server.url(f"/{name}")}"]\n'
        for name in NAMES
    ]
    tables.append(
        f'[files."three.zip"]\ngroup = "birds"\nabout = "nests"\nmd5 = "{"0" * 32}"\nmanual = "ask a bird"\n'
    )
    path = tmp_path / "my.toml"
    path.write_text("\n".join(tables))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(command, ["data", "fetch", *map(str, words)])


def test_a_group_arrives(server: Server, mirrors: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    done = run("birds", "--mirrors", mirrors, "-o", folder)
    assert done.exit_code == 0 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "left out three.zip (nests), which has no open link: ask a bird"
    assert lines[1] == f"fetching one.zip from 127.0.0.1:{server.server_port}"
    assert lines[2].startswith(f"wrote {folder / 'one.zip'}: 0.3 MB in ")
    assert lines[2].endswith("; its SHA-256 is the known one")
    assert lines[5:] == [f"Next: decathlon data prepare '{folder}/one.zip' '{folder}/two.zip' -o FILE.h5"]
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES]
    again = run("birds", "--mirrors", mirrors, "-o", folder)
    assert f"{folder / 'one.zip'} is already there; its SHA-256 is the known one" in again.stderr.splitlines()
    assert len(server.asked) == 2


def test_one_dead_link_keeps_no_other_file_away(server: Server, mirrors: Path, tmp_path: Path) -> None:
    del server.pages["/one.zip"]
    done = run("birds", "--mirrors", mirrors, "-o", tmp_path / "f")
    assert isinstance(done.exception, DecathlonError) and "one.zip" in str(done.exception)
    assert (tmp_path / "f/two.zip").read_bytes() == BODY and "Next" not in done.stderr


def test_every_failure_has_its_sentence(server: Server, mirrors: Path, tmp_path: Path) -> None:
    del server.pages["/one.zip"]
    server.pages["/two.zip"].body = BODY[::-1]
    done = run("birds", "--mirrors", mirrors, "-o", tmp_path / "f")
    assert "Error: no mirror has one.zip" in done.stderr
    assert isinstance(done.exception, VerificationError) and "two.zip" in str(done.exception)


@pytest.mark.parametrize(
    ("group", "step"),
    [
        ("official", "decathlon data prepare f/decathlon-1.0-* -o FILE.h5"),
        ("svhn", "decathlon data build svhn --from f/train_32x32.mat --from f/test_32x32.mat -o FILE.h5"),
        (
            "omniglot",
            "unzip -q -d f/omniglot f/images_background.zip && unzip -q -d f/omniglot f/images_evaluation.zip && "
            "decathlon data build omniglot --from f/omniglot -o FILE.h5",
        ),
    ],
)
def test_the_next_step_takes_the_files_of_a_group(group: str, step: str) -> None:
    assert next_step(select(known_files(), (group,)), Path("f")) == step


@pytest.mark.parametrize("name", ["three.zip", "decathlon-1.0-data-imagenet.tar", "imagenet12"])
def test_what_nobody_serves_is_an_error_when_asked_for(mirrors: Path, tmp_path: Path, name: str) -> None:
    done = run(name, "--mirrors", mirrors, "-o", tmp_path / "f")
    assert isinstance(done.exception, DecathlonError) and done.exception.exit_code == 1
    assert "has no open link. To get it, " in str(done.exception) and f"put it into {tmp_path / 'f'}" in str(
        done.exception
    )


def test_a_copy_of_what_nobody_serves_is_checked(mirrors: Path, tmp_path: Path) -> None:
    (tmp_path / "three.zip").write_bytes(b"")
    done = run("birds", "--mirrors", mirrors, "-o", tmp_path)
    assert isinstance(done.exception, VerificationError) and hashlib.md5(b"").hexdigest() in str(done.exception)


def test_the_list(mirrors: Path, server: Server) -> None:
    lines = run("--list").stdout.splitlines()
    assert any(line.split()[:4] == ["decathlon-1.0-data.tar.gz", "official", "406.352", "www.robots.ox.ac.uk"]
               for line in lines)  # fmt: skip
    birds = run("--list", "birds", "--mirrors", mirrors).stdout.splitlines()
    assert [line.split()[0] for line in birds[3:6]] == ["one.zip", "two.zip", "three.zip"]
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "error"),
    [(["nothing-like-it"], UsageError), (["--mirrors", "none.toml"], DataError), (["--list", "svhm"], UsageError)],
)
def test_wrong_usage(words: list[str], error: type[Exception]) -> None:
    assert isinstance(run(*words).exception, error)


def _heeding() -> None:
    """Heed SIGINT also where the tests run in a shell's background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_it_the_same_command_goes_on(
    server: Server, mirrors: Path, tmp_path: Path, number: signal.Signals
) -> None:
    server.pages["/one.zip"].faults = [web.hang(after=200_000)]
    program = "from decathlon.cli.main import main; main()"
    words = [sys.executable, "-c", program, "data", "fetch", "one.zip", "--mirrors", str(mirrors), "-o", "f"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=_heeding)
    part = tmp_path / "f/.one.zip.part"
    until = time.monotonic() + 20
    while not part.exists() or part.stat().st_size < 131_072:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert told.splitlines()[-1].startswith("Error: interrupted. 0.") and "Traceback" not in told
    assert part.exists() and not (tmp_path / "f/one.zip").exists()
    kept = part.stat().st_size
    done = run("one.zip", "--mirrors", mirrors, "-o", tmp_path / "f")
    assert done.exit_code == 0 and (tmp_path / "f/one.zip").read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={kept}-"]
