"""`decathlon data fetch`: download the benchmark's files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from decathlon.cli.data._options import PATH

if TYPE_CHECKING:
    from decathlon.data_prep.download.mirrors import KnownFile
    from decathlon.data_prep.download.transfer import FetchOptions
    from decathlon.reports.tables import Table


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option(
    "-o", "--output", "folder", type=PATH, default=".", help="The folder to download to. [default: the current one]"
)
@click.option("--mirrors", type=PATH, metavar="FILE.toml", help="Your own files and mirrors.")
@click.option("--list", "as_list", is_flag=True, help="List the known files and download nothing.")
@click.option(
    "--retries", type=click.IntRange(min=0), default=4, show_default=True,
    help="Retries of a mirror that sends no new byte, before trying the next one.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing file that has another digest.")
def command(
    names: tuple[str, ...], folder: Path, mirrors: Path | None, as_list: bool, retries: int, force: bool
) -> None:
    """Download files by NAME, or all of a group: 'official' (the default), or a domain for its originals.

    Interrupted downloads are resumed. A file appears under its name only when its digest is right; an existing one
    is checked and kept.

    --mirrors adds your own links, tried before the known ones, and other files (with their sha256 or md5):

    \b
      [files."decathlon-1.0-data.tar.gz"]
      mirrors = ["https://example.org/decathlon-1.0-data.tar.gz"]

    \b
    Examples:
      decathlon data fetch -o archives
      decathlon data fetch cifar100 svhn -o originals
    """
    from decathlon.data_prep.download.mirrors import known_files, select
    from decathlon.data_prep.download.transfer import FetchOptions
    from decathlon.reports.terminal import write
    from decathlon.system.progress import download_bar

    known = known_files(mirrors)
    if as_list:
        write([_table(select(known, names) if names else list(known.values()))], "table")
        return
    with download_bar() as (say, progress):
        options = FetchOptions(retries, force=force, say=say, progress=progress)
        _fetch_all(select(known, names), set(names), folder, options)


def _fetch_all(files: list[KnownFile], named: set[str], folder: Path, options: FetchOptions) -> None:
    """Fetch one file after the other; the last failure is raised, earlier ones are printed."""
    from decathlon.data_prep.download.fetch import fetch, next_step
    from decathlon.errors import DecathlonError, Interrupted

    failure: DecathlonError | None = None
    files = _open(files, named, folder, options)
    for file in files:
        begun = time.monotonic()
        try:
            new = fetch(file, folder, options)
        except Interrupted:
            raise
        except DecathlonError as error:
            if failure:
                options.say(f"Error: {failure}")
            failure = error
            continue
        seconds, path = time.monotonic() - begun, folder / file.name
        written = f"wrote {path}: {path.stat().st_size / 1e6:,.1f} MB in {seconds:,.1f} s"
        options.say(f"{written if new else f'{path} is already there'}; its {file.checked_by} is the known one")
    if failure:
        raise failure
    for group in dict.fromkeys(file.group for file in files):
        options.say(f"Next: {next_step([file for file in files if file.group == group], folder)}")


def _open(files: list[KnownFile], named: set[str], folder: Path, options: FetchOptions) -> list[KnownFile]:
    """Leave out files without an open link that were not requested by name, unless nothing would be left."""
    closed = [f for f in files if not f.mirrors and f.name not in named and not (folder / f.name).exists()]
    if len(closed) == len(files):
        return files
    for file in closed:
        options.say(f"left out {file.name} ({file.about}), which has no open link: {file.manual}")
    return [file for file in files if file not in closed]


def _table(files: list[KnownFile]) -> Table:
    from decathlon.data_prep.download.transfer import host
    from decathlon.reports.tables import Column, Table

    columns = (
        Column("file", "File"),
        Column("group", "Group"),
        Column("megabytes", "MB", digits=3),
        Column("from", "From"),
        Column("about", "What"),
        Column("checked_by", "Checked by", place="wide"),
    )
    rows = tuple(
        (
            file.name,
            file.group,
            None if file.size is None else file.size / 1e6,
            ", ".join(dict.fromkeys(map(host, file.mirrors))) or "no open link",
            file.about,
            file.checked_by,
        )
        for file in files
    )
    return Table("Files known to 'decathlon data fetch'", columns, rows)
