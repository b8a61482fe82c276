"""What a person sees while images are packed, on standard error."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from decathlon.data_prep.packing import Prepared


@contextmanager
def watched() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Yield functions to say a line and to show progress; in a pipe there are lines only.

    SIGTERM leaves the block as an error does, so that what was begun is removed.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[rate]:,.0f} images/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with (
        _terminable(),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("", total=None, rate=0)

        def progress(done: int, total: int) -> None:
            if done < bar.tasks[0].completed:
                bar.reset(task)  # the next pass over the images
            bar.update(task, completed=done, total=total, rate=bar.tasks[0].speed or 0)

        yield lambda line: console.print(line, markup=False), progress


def wrote(done: Prepared, begun: float, what: str = "images") -> str:
    """Say what was written since `begun`, in seconds of the monotonic clock."""
    seconds = time.monotonic() - begun
    return (
        f"wrote {done.path}: {done.images:,} {what}, {done.path.stat().st_size / 1e6:,.1f} MB, in {seconds:.1f} s "
        f"({done.images / seconds:,.0f} images/s); digest {done.digest[:16]}"
    )


@contextmanager
def _terminable() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
