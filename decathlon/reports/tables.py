"""A table of values, written for the terminal or as csv, json, latex or markdown."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from decathlon.system.strict_json import show_json
from decathlon.system.text import printable

Value = str | float | None
Row = tuple[Value, ...]
Format = Literal["table", "csv", "json", "latex", "markdown"]
Place = Literal["everywhere", "wide", "data"]
NOTHING = "–"
FORMULA = tuple("=+-@＝＋－＠")  # what a spreadsheet takes for the beginning of one
LATEX_ESCAPES = {  # brackets and stars mean something to the line break before a row
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "*": "{*}", NOTHING: "--", "±": r"$\pm$",
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
        return show_json([record for table in tables for record in _records(table)])
    if form == "latex":
        return "\n".join([*map(_latex, tables), *(f"% {printable(note)}\n" for note in notes)])
    return "\n".join([*map(_markdown, tables), *(f"{_markdown_line(note)}\n" for note in notes)])


def format_row(table: Table, row: Row, mark: Callable[[str], str], escape: Callable[[str], str]) -> list[str]:
    """Return the visible cells of a row, escaped, those that are the best of their column marked."""
    best = {} if row is table.footer or row in table.aside else _best(table)
    cells = [format_value(value, column) for column, value in zip(table.columns, row, strict=True)]
    marked = [mark(escape(cell)) if best.get(i) == cell else escape(cell) for i, cell in enumerate(cells)]
    return [cell for cell, column in zip(marked, table.columns, strict=True) if column.place != "data"]


def format_titles(table: Table, escape: Callable[[str], str]) -> list[str]:
    """Return the titles of the visible columns, escaped."""
    return [escape(printable(column.title)) for column in visible_columns(table)]


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
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_csv_cell, keys))
    for table in tables:
        writer.writerows([_csv_cell(record.get(key)) for key in keys] for record in _records(table))
    return out.getvalue()


def _csv_cell(value: Value) -> Value:
    """Return text on one line that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown


def _escape_markdown(text: str) -> str:
    return re.sub(r"[\\`*_{}\[\]<>#|~&]", r"\\\g<0>", text)


def _markdown_line(text: str) -> str:
    """Return text as a paragraph: it begins neither a list nor a rule, and underlines no heading."""
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", _escape_markdown(printable(text).strip()))


def _markdown(table: Table) -> str:
    lines = [format_titles(table, _escape_markdown)]
    lines.append(["---" if column.digits is None else "---:" for column in visible_columns(table)])
    rows = table.rows if table.footer is None else (*table.rows, table.footer)
    lines += [format_row(table, row, lambda cell: f"**{cell}**", _escape_markdown) for row in rows]
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{_markdown_line(table.title)}\n\n{body}\n"


def _latex(table: Table) -> str:
    def escape(value: str) -> str:
        return "".join(LATEX_ESCAPES.get(c, c) for c in value)

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    layout = "".join("l" if column.digits is None else "r" for column in visible_columns(table))
    lines = [f"% {printable(table.title)}", rf"\begin{{tabular}}{{{layout}}}", r"\hline"]
    lines += [line(format_titles(table, escape)), r"\hline"]
    lines += [line(format_row(table, row, lambda cell: rf"\textbf{{{cell}}}", escape)) for row in table.rows]
    if table.footer is not None:
        lines += [r"\hline", line(format_row(table, table.footer, str, escape))]
    return "\n".join([*lines, r"\hline", r"\end{tabular}"]) + "\n"
