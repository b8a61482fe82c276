"""The `decathlon` command: finds its subcommands in this folder and reports errors without a traceback."""

import contextlib
import difflib
import importlib
import io
import os
import pkgutil
import sys
from typing import Any, TextIO

import click

from decathlon import __version__
from decathlon.cli._failures import report

# What these say to matplotlib and HDF5 serves nothing here, and an unknown value ends them, HDF5 with a crash.
UNWANTED = ("MPLBACKEND", "SOURCE_DATE_EPOCH", "HDF5_DRIVER")


class FolderGroup(click.Group):
    """A group whose commands are the modules of a package, each with a click command named `command`.

    Modules import torch and the like inside the command's body, so that listing the commands is fast.
    """

    def __init__(self, *args: Any, package: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        folder = importlib.import_module(self.package).__path__
        names = (entry.name for entry in pkgutil.iter_modules(folder))
        return sorted(name for name in names if name != "main" and not name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{self.package}.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"See '{ctx.command_path} --help'."
            raise click.UsageError(f"no command '{args[0]}'. {hint}", ctx) from error


@click.group(cls=FolderGroup, package="decathlon.cli", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="decathlon")
def command() -> None:
    """Train one network for many image domains, and score it as the Visual Decathlon does.

    New here? Start with: decathlon quickstart
    """


def main() -> None:
    """Run the command; an error becomes a message on standard error and an exit code."""
    # Waiting threads must sleep: next to another busy process, spinning ones slow training down tenfold or more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in UNWANTED:
        os.environ.pop(name, None)
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not be an error
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # report a full disk now: at the end of the process it would be too late
    except Exception as error:
        code = report(error)
    for stream in (sys.stdout, sys.stderr):
        _flush_or_discard(stream)
    sys.exit(code if isinstance(code, int) else 0)


def _fill_closed_streams() -> None:
    """Open the streams that the shell closed: a file with the number of one would get what is printed there."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _flush_or_discard(stream: TextIO | None) -> None:
    """Discard output that cannot be written, which would end the process with a complaint and exit code 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
