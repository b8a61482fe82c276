"""A second signal ends the process at once: after the first, both signals mean what they always do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from decathlon.system.signals import HELD, held


@pytest.mark.parametrize("first", HELD)
def test_after_a_first_signal_both_are_deadly(first: signal.Signals) -> None:
    heard = list[int]()
    before = {number: signal.signal(number, lambda number, frame: heard.append(number)) for number in HELD}
    try:
        with held() as hold:
            assert all(signal.getsignal(number) == hold.note for number in HELD)
            os.kill(os.getpid(), first)
            assert hold.number == first and not heard
            assert [signal.getsignal(number) for number in HELD] == [signal.SIG_DFL] * 2
        assert heard == [first]
        assert all(signal.getsignal(number) not in (signal.SIG_DFL, hold.note) for number in HELD)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


TWICE = """
import os, signal, sys
from decathlon.system.signals import held
signal.signal(signal.SIGINT, signal.default_int_handler)
with held():
    for name in sys.argv[1:]:
        os.kill(os.getpid(), getattr(signal, name))
    print("still here")
"""


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_a_process_inside_the_block(second: str) -> None:
    done = subprocess.run([sys.executable, "-c", TWICE, "SIGINT", second], capture_output=True, text=True)
    assert done.returncode == -getattr(signal, second) and "still here" not in done.stdout
    done = subprocess.run([sys.executable, "-c", TWICE, "SIGINT"], capture_output=True, text=True)
    assert "still here" in done.stdout  # the negative control
