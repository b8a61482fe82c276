"""The command in a process of its own, on a machine that refuses something."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CODE = "import sys; from decathlon.cli.main import main; sys.argv[0] = 'decathlon'; main()"
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 1, 2, 3


def decathlon(
    *words: object, file_size: int | None = None, humble: bool = False, cwd: Path | None = None,
    env: Mapping[str, str] | None = None, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the command with a limit on the size of files in bytes, or `humble`: permissions bind root too."""

    def prepare() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        if humble:
            obey_permissions()

    clean = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words)], preexec_fn=prepare, cwd=cwd,
        env=clean | dict(env or {}), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
        text=True, errors="replace", timeout=120,
    )  # fmt: skip


def obey_permissions() -> None:
    """Give up what lets root write and read everywhere; the program that is started next has it no more."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def refused(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """Return the one sentence that a command ended with, after looking that it is one and has no traceback."""
    said = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == code, done.stderr
    assert len(said) == 1 and said[0] == done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    return said[0].removeprefix("Error: ")
