"""Tables on the terminal, or on standard output in another format."""

from collections.abc import Sequence
from dataclasses import replace

import click
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from decathlon.reports.tables import Format, Row, Table, format_row, format_titles, render, visible_columns
from decathlon.system.text import printable, say

NO_LIMIT = 10_000  # columns; a pipe has no width, and a cut number would be wrong


def write(tables: Sequence[Table], form: Format, notes: Sequence[str] = ()) -> None:
    """Print the tables and, below them, the notes; beside csv and json the notes go to standard error."""
    if form == "table":
        _show(tables, notes)
        return
    click.echo(render(tables, form, notes), nl=False)
    for note in notes if form in ("csv", "json") else ():
        say(printable(note))


def _show(tables: Sequence[Table], notes: Sequence[str]) -> None:
    """Print for people; a narrow terminal gets no wide columns."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NO_LIMIT)
    for table in tables:
        needed = Measurement.get(console, console.options.update(width=NO_LIMIT), _rich(table)).maximum
        fits = needed <= console.width
        console.print(Text(printable(table.title), style="bold"))
        console.print(_rich(table if fits else _narrow(table)))
        console.print()
        if not fits and _narrow(table) != table:
            console.print(Text(f"All columns need {needed} characters. Widen the window, or add --format csv."))
    for note in notes:
        console.print(Text(printable(note)))


def _narrow(table: Table) -> Table:
    kept = [i for i, column in enumerate(table.columns) if column.place == "everywhere"]

    def pick(row: Row) -> Row:
        return tuple(row[i] for i in kept)

    columns = tuple(table.columns[i] for i in kept)
    footer = None if table.footer is None else pick(table.footer)
    rows, aside = tuple(map(pick, table.rows)), tuple(map(pick, table.aside))
    return replace(table, columns=columns, rows=rows, footer=footer, aside=aside)


def _rich(table: Table) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column, title in zip(visible_columns(table), format_titles(table, str), strict=True):
        rich.add_column(Text(title), justify="left" if column.digits is None else "right", no_wrap=True)
    for row in table.rows:
        rich.add_row(*_cells(table, row), end_section=row is table.rows[-1] and table.footer is not None)
    if table.footer is not None:
        rich.add_row(*_cells(table, table.footer))
    return rich


def _cells(table: Table, row: Row) -> list[Text]:
    # Text, not strings, which rich would search for markup. No printable text holds the mark.
    cells = format_row(table, row, lambda cell: f"\0{cell}", str)
    return [Text(cell.removeprefix("\0"), style="bold" if cell.startswith("\0") else "") for cell in cells]
