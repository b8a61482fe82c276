"""What a person sees while work goes on, on standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)  # fmt: skip


def stderr() -> Console:
    """Return a console on standard error, where progress and remarks go: a path is shown as it is, in one line."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@contextlib.contextmanager
def image_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Yield functions to say a line and to show images done of all; in a pipe there are lines only."""
    console = stderr()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[rate]:,.0f} images/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, rate=0)

        def show(done: int, total: int) -> None:
            if done < bar.tasks[0].completed:  # another pass over the images, at a speed of its own
                bar.reset(task)
            bar.update(task, completed=done, total=total, rate=bar.tasks[0].speed or 0)

        yield lambda line: console.print(line), show


@contextlib.contextmanager
def download_bar() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int | None], None]]]:
    """Yield functions to say a line and to show bytes done of all; in a pipe there are lines only."""
    console = stderr()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(what: str, done: int, total: int | None) -> None:
            if bar.tasks[0].description != what:  # a new speed; what a part held already is none
                bar.reset(task, completed=done, total=total, description=what)
            bar.update(task, completed=done, total=total, visible=done != total)

        yield lambda line: console.print(line), show


class TrainingProgress:
    """A progress bar over optimiser steps with images a second; a plain line at its end in a pipe."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._bar: Progress | None = None

    @contextlib.contextmanager
    def training(self, what: str, steps: int, done: int) -> Iterator[None]:
        """Show a training of `steps` optimiser steps, `done` of them complete; end with its speed."""
        self._began, self._images = time.monotonic(), 0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=steps, completed=done, note="")
        with self._bar:
            yield
        if self._images:
            seconds = time.monotonic() - self._began
            self.console.print(f"{what}: {self._images} images in {seconds:.0f} s, {self._rate():.0f} images/s")

    def step(self, images: int) -> None:
        """Count one optimiser step over `images` images."""
        assert self._bar is not None
        self._images += images
        self._bar.advance(self._task)

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Show the mean training loss of an epoch."""
        assert self._bar is not None
        note = f"epoch {epoch}/{epochs}  loss {loss:.3f}  {self._rate():.0f} images/s"
        self._bar.update(self._task, note=note)

    def _rate(self) -> float:
        return self._images / max(time.monotonic() - self._began, 1e-9)
