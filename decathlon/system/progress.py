"""Progress on standard error."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import rich.progress as bars
from rich.console import Console

from decathlon.system.text import printable

LEFT = bars.TimeRemainingColumn(), bars.TextColumn("left")


class _Notes(Console):
    """A console for text that is shown as it is, on one line; where nobody can read it the work goes on."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)

    def __exit__(self, *raised: Any) -> None:  # whatever rich prints ends here
        with contextlib.suppress(OSError):
            super().__exit__(*raised)

    def on_broken_pipe(self) -> None:
        self.quiet = True


def stderr() -> Console:
    """Return a console on standard error, where progress and notes go."""
    return _Notes(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _progress(console: Console, *columns: bars.ProgressColumn) -> bars.Progress:
    return bars.Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextlib.contextmanager
def image_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """Yield a function that prints a line and one that shows images done of the total; a pipe gets lines only."""
    console, rate = stderr(), bars.TextColumn("images, {task.fields[rate]:,.0f} images/s,")
    with _progress(console, bars.BarColumn(), bars.MofNCompleteColumn(), rate, *LEFT) as bar:
        task = bar.add_task("", total=None, rate=0)

        def show(done: int, total: int) -> None:
            if done < bar.tasks[0].completed:  # another pass over the images, at another speed
                bar.reset(task)
            bar.update(task, completed=done, total=total, rate=bar.tasks[0].speed or 0)

        yield console.print, show


@contextlib.contextmanager
def download_bar() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int | None], None]]]:
    """Yield a function that prints a line and one that shows bytes done of the total; a pipe gets lines only."""
    console, name = stderr(), bars.TextColumn("{task.description}", markup=False)
    with _progress(
        console, name, bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn(), *LEFT
    ) as bar:
        task = bar.add_task("", total=None, visible=False)

        def show(what: str, done: int, total: int | None) -> None:
            if bar.tasks[0].description != printable(what):  # a new speed, without the bytes that were there
                bar.reset(task, completed=done, total=total, description=printable(what))
            bar.update(task, completed=done, total=total, visible=done != total)

        yield console.print, show


class TrainingProgress:
    """A progress bar over optimizer steps with images per second; in a pipe, one line at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._bar: bars.Progress | None = None

    @contextlib.contextmanager
    def training(self, what: str, steps: int, done: int) -> Iterator[None]:
        """Show the training of `steps` optimizer steps, `done` of them complete; print the speed at the end."""
        self._began, self._images = time.monotonic(), 0
        self._bar = _progress(
            self.console, bars.TextColumn("{task.description}", markup=False), bars.BarColumn(),
            bars.MofNCompleteColumn(), bars.TextColumn("steps"), bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self._task = self._bar.add_task(printable(what), total=steps, completed=done, note="")
        with self._bar:
            yield
        if self._images:
            seconds = time.monotonic() - self._began
            self.console.print(f"{what}: {self._images} images in {seconds:.0f} s, {self._rate():.0f} images/s")

    def step(self, images: int) -> None:
        """Count one optimizer step over `images` images."""
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
