"""The leaderboard as one self-contained web page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from decathlon.system.text import plain
from decathlon.tables import Table, shown, visible

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
    parts += [f"<p>{escape(plain(note))}</p>" for note in notes]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Leaderboard</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>Leaderboard</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _section(table: Table, picture: bytes | None) -> str:
    kinds = [' class="text"' if column.digits is None else "" for column in visible(table)]
    head = "".join(
        f'<th scope="col"{kind}>{escape(plain(column.title))}</th>'
        for kind, column in zip(kinds, visible(table), strict=True)
    )
    rows = (shown(table, row, lambda cell: f"<strong>{cell}</strong>", escape) for row in table.rows)
    body = "\n".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, cells, strict=True))}</tr>"
        for cells in rows
    )
    image = ""
    if picture is not None:
        # Inside <img> an SVG can run nothing, whatever a name in it says.
        data = base64.b64encode(picture).decode()
        image = f'\n<img alt="Points per domain, as in the table" src="data:image/svg+xml;base64,{data}">'
    return (
        f'<h2>{escape(plain(table.title))}</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>{image}"
    )
