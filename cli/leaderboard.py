"""decathlon leaderboard"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from decathlon.reports.tables import Format
from decathlon.system.text import say

if TYPE_CHECKING:
    from decathlon.data.ground_truth import Split

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("runs", metavar="[RUN ...]", nargs=-1, type=PATH)
@click.option(
    "--published/--no-published",
    default=None,
    help="Show the published rows. Default: with runs on the official benchmark, and when no RUN is given.",
)
@click.option(
    "--baseline",
    metavar="SCORE.json|RUN|BASELINE.json|official",
    help="Compute the points of all runs against these errors, whatever they were scored against.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "val"]),
    default="test",
    show_default=True,
    help="Which of its scores a run directory is shown with.",
)
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="table", show_default=True)
@click.option("--plot", type=PATH, metavar="FILE", help="Draw the points per domain as .png, .pdf or .svg.")
@click.option("--html", type=PATH, metavar="FILE", help="Write one self-contained page with tables and plots.")
@click.option("--force", is_flag=True, help="Replace existing files of --plot and --html.")
def command(
    runs: tuple[Path, ...], published: bool | None, baseline: str | None, split: Split, form: Format,
    plot: Path | None, html: Path | None, force: bool,
) -> None:  # fmt: skip
    """Compare runs with each other and with the published rows.

    RUN is a run directory with a score.json, a group of runs ('train --seeds', one row of means and standard
    deviations), or a score.json. When none is given, only the published rows are shown.
    """
    from decathlon.reports.leaderboard import boards, notes, to_table
    from decathlon.reports.leaderboard_rows import read_rows
    from decathlon.reports.terminal import write
    from decathlon.system.files import refuse_existing

    if baseline is not None and not runs:
        raise click.UsageError("--baseline counts the points of runs. Name some, or leave it out.")
    for path in [path for path in (plot, html) if path is not None and not force]:
        refuse_existing(path, "choose another name, or replace it with --force")
    found = boards(read_rows(runs, baseline, split), published)
    lines: list[str] = []
    if plot is not None or html is not None:
        from decathlon.reports.figures.lettering import letter_notes
        from decathlon.reports.page import write_page, write_plot

        for file, write_file in ((plot, write_plot), (html, write_page)):
            if file is not None:
                write_file(found, file)
                say(f"wrote {file}")
        if plot is not None and len(found) > 1:
            say(f"Note: {plot} shows the first of {len(found)} tables; --html shows all.")
        lines = letter_notes(
            name for board in found for name in (*board.domains, *(row.name for row in board.rows))
        )
    write([to_table(board) for board in found], form, [*notes(found), *lines])
