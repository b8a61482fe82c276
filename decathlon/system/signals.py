"""SIGINT and SIGTERM: work that must not be torn ends first, then the signal does what it always does.

The library sets no other meaning: after `held` a Ctrl-C is a KeyboardInterrupt and SIGTERM ends the process, unless
a command said with `terminable` that it is to leave as from an error. Only the main thread receives signals and may
set handlers: in other threads nothing is held.
"""

from __future__ import annotations

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
NOTE = b"\033[?25h\nEnding after this step or validation; a second signal ends at once.\n"


class Hold:
    """Says whether a signal came; true from then on."""

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
                os.write(
                    STDERR, NOTE
                )  # print may be at work on this stream already, and refuses to be entered twice


@contextlib.contextmanager
def held() -> Iterator[Hold]:
    """Hold a first SIGINT or SIGTERM back until the block ends, then deliver it.

    The block looks at what is yielded and ends soon. A signal that is ignored stays so. In another thread than the
    main one nothing is held and what is yielded stays false.
    """
    hold = Hold()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in HELD}
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
    """Leave as from an error on SIGTERM, so that what was begun is removed; in the main thread only.

    A SIGTERM that is ignored stays so.
    """
    ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
