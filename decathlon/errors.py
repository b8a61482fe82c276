"""Errors, each class with the exit code of the command.

A message names the problem and then the one thing to do; the command prints it without a traceback.
"""

import difflib
from collections.abc import Iterable, Sequence

from decathlon.system.text import printable

MANY = 100  # names that a message lists at most


class DecathlonError(Exception):
    """The work failed for a reason the user can act on; below the message stand the lines in `listed`, if any.

    Names from outside files cannot break its lines or steer a terminal.
    """

    exit_code = 1

    def __init__(self, message: str = "", listed: Sequence[str] = ()) -> None:
        super().__init__(message, listed)
        self.lines = (message, *listed)

    def __str__(self) -> str:
        return "\n".join(map(printable, self.lines))


class UsageError(DecathlonError):
    """The user named something that does not exist, or options that cannot be combined."""

    exit_code = 2


class DataError(DecathlonError):
    """A file from outside is missing, damaged or inconsistent."""

    exit_code = 3


class VerificationError(DecathlonError):
    """A file of this project does not match its own checksums."""

    exit_code = 4


class BusyError(DecathlonError):
    """Another process holds what this one needs."""

    exit_code = 5


class ResourceError(DecathlonError):
    """The machine refused memory, disk space or a permission; with it the same command would succeed."""


class Interrupted(DecathlonError):
    """The user stopped the work with Ctrl-C."""

    exit_code = 130


class Terminated(Interrupted):
    """SIGTERM stopped the work."""

    exit_code = 143


class DivergedError(DecathlonError):
    """The loss is no longer finite."""

    exit_code = 6


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> UsageError:
    """Return the error for a name that does not exist, with the nearest names that do; `where` as ` in x.toml`."""
    return UsageError(f"unknown {kind} '{name}'{where}. {nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the second sentence of an error: the names nearest to one that does not exist, or all, if not many."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if len(names) > MANY:
        some = difflib.get_close_matches(name, names, n=5, cutoff=0)
        return f"Choose one of {len(names):,}, such as {', '.join(some)}."
    return f"Choose one of: {', '.join(names)}."
