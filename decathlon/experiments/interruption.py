"""What a user reads when a signal or the machine ended training: the command that continues it."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from decathlon.errors import Interrupted, ResourceError, Terminated
from decathlon.runs.seed_group import SEEDS
from decathlon.system.signals import terminable


@contextlib.contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Raise Interrupted for Ctrl-C and Terminated for SIGTERM; the block trains the run or the group in `out`.

    A ResourceError gets the command that continues once the machine has what it lacked.
    """
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        raise Interrupted(_advice(out)) from None
    except SystemExit:
        raise Terminated(_advice(out)) from None
    except ResourceError as error:
        if not _begun(out):
            raise
        raise ResourceError(f"{str(error).removesuffix('.')}, then continue with: {_command(out)}") from None


def _advice(out: Path) -> str:
    if not _begun(out):
        return "interrupted before training began; there is nothing to save yet. Run the same command again."
    command = _command(out)
    if not any(path.name != "start.safetensors" for path in out.glob("**/*.safetensors")):
        return f"interrupted before the first step; there is nothing to save yet. Start again with: {command}"
    return f"interrupted. Continue with: {command}"  # a path may be quoted: no quotes around, nothing after it


def _begun(out: Path) -> bool:
    return any((out / name).is_file() for name in ("run.json", SEEDS))


def _command(out: Path) -> str:
    return shlex.join(["decathlon", "train", "--resume", "-o", str(out)])
