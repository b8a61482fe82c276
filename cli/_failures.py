"""How the command ends after an error: a short message on standard error, and an exit code.

Errors in files, in the request or on the machine have their messages. Any other exception is an internal error: its
traceback goes to a file named in the message, so that it is not lost after a run of days.
DECATHLON_TRACEBACK=1 prints the traceback of every error.
"""

import errno
import io
import os
import re
import sys
import tempfile
import traceback

import click

from decathlon.errors import DecathlonError, UsageError
from decathlon.system.resources import lacks_memory, out_of_memory
from decathlon.system.text import say

TRACEBACK = "DECATHLON_TRACEBACK"


def report(error: Exception) -> int:
    """Print the message of an error; return the exit code."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        say("".join(traceback.format_exception(error)))
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().removesuffix("\n"))
        return error.exit_code
    if isinstance(error, click.Abort):
        say("Interrupted.")
        return 130
    if isinstance(error, BrokenPipeError):  # as in `decathlon leaderboard | head -1`: the reader has enough
        return DecathlonError.exit_code
    known = _known(error)
    say(f"Error: {known or _internal_error(error)}")
    return known.exit_code if known else DecathlonError.exit_code


def _known(error: Exception) -> DecathlonError | None:
    """Return an error as one of this project's; None for an internal error."""
    if isinstance(error, DecathlonError):
        return error
    if lacks_memory(error):
        return out_of_memory(error)
    if library := _not_imported(error):
        return DecathlonError(f"{library} cannot be loaded ({_in_short(error)}). {_variables(error)}.")
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        long = error.errno == errno.ENAMETOOLONG
        fix = "Choose a shorter one" if long else "Check the path, its permissions and the disk"
        return DecathlonError(f"{error.strerror or error}{where}. {fix}.")
    if isinstance(error, UnicodeEncodeError):
        # bytes that are not characters
        names = [word for word in sys.argv if any("\ud800" <= letter <= "\udfff" for letter in word)]
        return UsageError(f"the name {ascii(names[0])} is not valid UTF-8. Rename it.") if names else None
    return None


def _not_imported(error: Exception) -> str | None:
    """Return the library that ended its own import with an error, as for a variable that it cannot read."""
    inner = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>"]
    name = str(inner[-1].f_globals.get("__name__", "")).partition(".")[0] if inner else ""
    return None if name in ("", "__main__", __name__.partition(".")[0]) else name


def _variables(error: Exception) -> str:
    """Return what to do about an error at an import, with the variables that it or the lines behind it mention."""
    lines = " ".join(frame.line or "" for frame in traceback.extract_tb(error.__traceback__))
    named = [
        name
        for name, value in os.environ.items()
        if len(name) > 3 and _mentions(f"{error} {lines}", name) or len(value) > 2 and _mentions(str(error), value)
    ]
    if named:
        return f"Correct or unset {' or '.join(sorted(named))}"
    return "Check its settings and the environment variables that it reads, or install it again"


def _mentions(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w/]){re.escape(word)}(?![\w/])", text) is not None


def _in_short(error: Exception) -> str:
    return " ".join(f"{error}".split())[:100].rstrip(". ") or type(error).__name__


def _internal_error(error: Exception) -> str:
    """Keep the traceback of an unexpected exception and return the message about it."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    lines = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="decathlon-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(lines)
    except OSError:
        say(lines)
        return f"internal error ({what}). Please report it and attach the lines above."
    return f"internal error ({what}). Please report it and attach {file.name}"
