"""What a person sees while training goes on, on standard error."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def stderr() -> Console:
    """Return a console on standard error, where progress and remarks go."""
    return Console(stderr=True, highlight=False)


class TrainingProgress:
    """A progress bar over optimiser steps with images a second; a plain line per job where nobody watches."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._bar: Progress | None = None

    def start(self, what: str, steps: int, done: int) -> None:
        """Begin a job of `steps` optimiser steps, `done` of them behind it."""
        self._began, self._images, self._what = time.monotonic(), 0, what
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            console=self.console, transient=True, disable=not self.console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=steps, completed=done, note="")
        self._bar.start()

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

    def stop(self) -> None:
        """End the job with one line that says how fast it went."""
        assert self._bar is not None
        self._bar.stop()
        if self._images:
            seconds = time.monotonic() - self._began
            self.console.print(
                f"{self._what}: {self._images} images in {seconds:.0f} s, {self._rate():.0f} images/s"
            )

    def _rate(self) -> float:
        return self._images / max(time.monotonic() - self._began, 1e-9)
