"""A table of values, written for the terminal or as csv, json, latex or markdown."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from decathlon.system.strict_json import dump_json
from decathlon.system.text import printable

Value = str | float | None
Row = tuple[Value, ...]
Format = Literal["table", "csv", "json", "latex", "markdown"]
Place = Literal["everywhere", "wide", "data"]
NOTHING = "–"
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", NOTHING: "--", "±": r"$\pm$",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column: `key` names it for programs, `title` for people.

    `digits` are those after the decimal point, None for text. `best` is the value set in bold. `place`: `wide`
    columns are left out of a terminal that is too narrow, `data` columns appear in csv and json only.
    """

    key: str
    title: str
    digits: int | None = None
    best: Literal["max", "min"] | None = None
    place: Place = "everywhere"


@dataclass(frozen=True)
class Table:
    """Rows of values under columns; `footer` is a last row set apart; rows in `aside` are never marked as best."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    footer: Row | None = None
    aside: tuple[Row, ...] = ()


def render(tables: Sequence[Table], form: Format, notes: Sequence[str] = ()) -> str:
    """Return the tables as text; csv and json hold the rows of all tables and no notes."""
    if form == "csv":
        return _csv(tables)
    if form == "json":
        return dump_json([record for table in tables for record in _records(table)])
    part, comment = (_latex, "% {}\n") if form == "latex" else (_markdown, "{}\n")
    return "\n".join([*map(part, tables), *(comment.format(printable(note)) for note in notes)])


def format_row(table: Table, row: Row, mark: Callable[[str], str], escape: Callable[[str], str]) -> list[str]:
    """Return the visible cells of a row, escaped, those that are the best of their column marked."""
    best = {} if row is table.footer or row in table.aside else _best(table)
    cells = [format_value(value, column) for column, value in zip(table.columns, row, strict=True)]
    marked = [mark(escape(cell)) if best.get(i) == cell else escape(cell) for i, cell in enumerate(cells)]
    return [cell for cell, column in zip(marked, table.columns, strict=True) if column.place != "data"]


def visible_columns(table: Table) -> list[Column]:
    """Return the columns for people, without those of csv and json alone."""
    return [column for column in table.columns if column.place != "data"]


def format_value(value: Value, column: Column) -> str:
    """Return a value as text for people."""
    if value is None:
        return NOTHING
    return printable(value) if isinstance(value, str) else f"{value:.{column.digits or 0}f}"


def _best(table: Table) -> dict[int, str]:
    """Return the text of the best value by column position, for columns with two values or more."""
    found = {}
    for i, column in enumerate(table.columns):
        values = [row[i] for row in table.rows if row not in table.aside]
        numbers = [value for value in values if isinstance(value, int | float)]
        if column.best and len(numbers) > 1:
            found[i] = format_value(max(numbers) if column.best == "max" else min(numbers), column)
    return found


def _records(table: Table) -> list[dict[str, Value]]:
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, row, strict=True)) for row in table.rows]


def _csv(tables: Sequence[Table]) -> str:
    keys = dict.fromkeys(column.key for table in tables for column in table.columns)
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        writer.writerows(_records(table))
    return out.getvalue()


def _markdown(table: Table) -> str:
    def escape(value: str) -> str:
        return "".join(f"\\{c}" if c in r"\`*_{}[]<>#|~" else c for c in value)

    lines = [[escape(column.title) for column in visible_columns(table)]]
    lines.append(["---" if column.digits is None else "---:" for column in visible_columns(table)])
    rows = table.rows if table.footer is None else (*table.rows, table.footer)
    lines += [format_row(table, row, lambda cell: f"**{cell}**", escape) for row in rows]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{escape(printable(table.title))}\n\n{body}\n"


def _latex(table: Table) -> str:
    def escape(value: str) -> str:
        return "".join(LATEX_ESCAPES.get(c, c) for c in value)

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    layout = "".join("l" if column.digits is None else "r" for column in visible_columns(table))
    lines = [f"% {printable(table.title)}", rf"\begin{{tabular}}{{{layout}}}", r"\hline"]
    lines += [line([escape(column.title) for column in visible_columns(table)]), r"\hline"]
    lines += [line(format_row(table, row, lambda cell: rf"\textbf{{{cell}}}", escape)) for row in table.rows]
    if table.footer is not None:
        lines += [r"\hline", line(format_row(table, table.footer, str, escape))]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"
