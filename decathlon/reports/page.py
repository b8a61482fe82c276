"""The leaderboard as files: a plot of the points, or a page with tables and plots."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from decathlon.errors import UsageError
from decathlon.reports.figures.points import METADATA, draw_points
from decathlon.reports.leaderboard import Board, notes, to_table
from decathlon.reports.tables import Table, format_row, format_titles, visible_columns
from decathlon.system.files import write_bytes
from decathlon.system.text import printable


def write_plot(boards: Sequence[Board], path: Path) -> None:
    """Draw the points of the first board that has any; raises UsageError for an unknown ending or no points.

    One board only: points against different baselines are different units.
    """
    form = picture_form(path)
    picture = next(filter(None, (draw_points(board, form) for board in boards)), None)
    if picture is None:
        raise UsageError(
            "there are no points to draw. Score the runs against a baseline, see 'decathlon score --help'."
        )
    write_bytes(path, picture)


def picture_form(path: Path) -> str:
    """Return the format of a picture by its name; raises UsageError for another ending."""
    form = path.suffix.lower().removeprefix(".")
    if form not in METADATA:
        raise UsageError(f"cannot draw {path}. Give it the ending .png, .pdf or .svg.")
    return form


def write_page(boards: Sequence[Board], path: Path) -> None:
    """Write one self-contained page; raises UsageError for a name that does not end as a page's."""
    if path.suffix.lower() not in (".html", ".htm"):  # a slip must not overwrite a results.json
        raise UsageError(f"cannot write {path}. Give it the ending .html.")
    pictures = [draw_points(board, "svg") for board in boards]
    write_bytes(path, page([to_table(board) for board in boards], pictures, notes(boards)).encode())


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
.text { text-align: left; } img { max-width: 100%; margin-top: 1rem; background: white; }
""".strip()


def page(tables: Sequence[Table], pictures: Sequence[bytes | None], notes: Sequence[str]) -> str:
    """Return the page; `pictures[i]` is the SVG below table i, or None."""
    parts = [_section(table, picture) for table, picture in zip(tables, pictures, strict=True)]
    parts += [f"<p>{escape(printable(note))}</p>" for note in notes]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Leaderboard</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>Leaderboard</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _section(table: Table, picture: bytes | None) -> str:
    columns = visible_columns(table)
    kinds = [' class="text"' if column.digits is None else "" for column in columns]

    def line(cell: str, texts: Sequence[str]) -> str:
        return f"<tr>{''.join(map(cell.format, kinds, texts))}</tr>"

    head = line('<th scope="col"{}>{}</th>', format_titles(table, escape))
    rows = (format_row(table, row, lambda cell: f"<strong>{cell}</strong>", escape) for row in table.rows)
    body = "\n".join(line("<td{}>{}</td>", cells) for cells in rows)
    image = ""
    if picture is not None:
        # Inside <img> an SVG cannot run scripts, whatever a name in it contains.
        data = base64.b64encode(picture).decode()
        image = f'\n<img alt="Points per domain, as in the table" src="data:image/svg+xml;base64,{data}">'
    return (
        f'<h2>{escape(printable(table.title))}</h2>\n<div class="wide"><table>\n<thead>{head}</thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>{image}"
    )
