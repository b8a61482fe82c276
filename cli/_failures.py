"""How the command ends when something went wrong: one sentence on standard error, and an exit code.

What is wrong with a file, a wish or the machine has its sentence already. Anything else is a fault of this toolkit:
its traceback goes to a file that the sentence names, so that it is not lost with a run of days.
DECATHLON_TRACEBACK=1 prints the traceback of every error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import traceback

import click

from decathlon.errors import DecathlonError, UsageError
from decathlon.system.resources import lacks_memory, out_of_memory

TRACEBACK = "DECATHLON_TRACEBACK"


def told(error: Exception) -> int:
    """Tell a person what went wrong; return the exit code."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        _say("".join(traceback.format_exception(error)))
    if isinstance(error, click.ClickException):
        with contextlib.suppress(OSError):
            error.show()
        return error.exit_code
    if isinstance(error, click.Abort):
        _say("Interrupted.")
        return 130
    if isinstance(error, BrokenPipeError):  # as in `decathlon leaderboard | head -1`: who read has enough
        return DecathlonError.exit_code
    known = _known(error)
    _say(f"Error: {known or _fault(error)}")
    return known.exit_code if known else DecathlonError.exit_code


def _known(error: Exception) -> DecathlonError | None:
    """Return the error as one of this project, None where it is a fault."""
    if isinstance(error, DecathlonError):
        return error
    if lacks_memory(error):
        return out_of_memory(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        long = error.errno == errno.ENAMETOOLONG
        remedy = "choose a shorter one" if long else "check the path, its permissions and the disk"
        return DecathlonError(f"{error.strerror or error}{where}: {remedy}.")
    if isinstance(error, UnicodeEncodeError):
        names = [word for word in sys.argv if not word.isprintable() and _undecoded(word)]
        return UsageError(f"the name {ascii(names[0])} is not valid UTF-8: rename it.") if names else None
    return None


def _undecoded(word: str) -> bool:
    """Say whether bytes of a word on the command line were no characters."""
    return any("\ud800" <= character <= "\udfff" for character in word)


def _fault(error: Exception) -> str:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    lines = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="decathlon-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(lines)
    except OSError:
        _say(lines)
        return f"this is a fault of decathlon ({what}): please report it with the lines above."
    return f"this is a fault of decathlon ({what}): please report it with {file.name}, which says where it was."


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there to read it; the exit code still tells
        click.echo(text, err=True)
