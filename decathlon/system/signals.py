"""SIGINT and SIGTERM: work that must not be interrupted ends first, then the signal has its usual effect.

Nothing else changes: after `held` a Ctrl-C is a KeyboardInterrupt and SIGTERM ends the process, unless a command
is `terminable`, which turns SIGTERM into an exception. Only the main thread receives signals and may set handlers:
in other threads nothing is held.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

HELD = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
# a progress bar hides the cursor, and a second signal leaves no time to show it again
NOTE = b"\033[?25h\nStopping after this step or validation. A second signal stops at once.\n"


class Hold:
    """False until a signal comes, true from then on."""

    number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a first signal; a second one ends the process at once, even inside a long kernel."""
        self.number = number
        for each in HELD:
            signal.signal(each, signal.SIG_DFL)
        with contextlib.suppress(OSError):  # the terminal may be gone
            if os.isatty(STDERR):
                os.write(STDERR, NOTE)  # print may be busy with this stream, and is not reentrant


@contextlib.contextmanager
def held() -> Iterator[Hold]:
    """Hold a first SIGINT or SIGTERM back until the block ends, then deliver it.

    The block checks the yielded `Hold` and ends soon after it turns true. A signal that is ignored stays ignored.
    """
    hold = Hold()
    before = {number: signal.getsignal(number) for number in HELD if _in_main_thread()}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in taken:
            signal.signal(number, hold.note)
        yield hold
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        if hold.number is not None:
            signal.raise_signal(hold.number)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, so that unfinished files are removed; where it is ignored it stays ignored."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN or not _in_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
