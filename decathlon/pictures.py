"""The leaderboard's files: a picture of the points, or a page with tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from decathlon.board_notes import notes
from decathlon.errors import UsageError
from decathlon.leaderboard import Board, to_table
from decathlon.page import page
from decathlon.plots import Bars, draw_points
from decathlon.system.files import write_bytes

PICTURES = ("png", "pdf", "svg")


def write_plot(boards: Sequence[Board], path: Path) -> None:
    """Draw the points of the first board that has any; raises UsageError for a foreign ending or no points.

    One board only: points against different baselines are different units.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in PICTURES:
        raise UsageError(f"cannot draw {path}: give it the ending .png, .pdf or .svg.")
    for board in boards:
        picture = _draw(board, form)
        if picture is not None:
            write_bytes(path, picture)
            return
    raise UsageError(
        "there are no points to draw: score the runs against a baseline, see 'decathlon score --help'."
    )


def write_page(boards: Sequence[Board], path: Path) -> None:
    """Write one self-contained page; raises UsageError for a name that is no page's."""
    if path.suffix.lower() not in (".html", ".htm"):  # a slip must not replace a results.json
        raise UsageError(f"cannot write {path}: give it the ending .html.")
    pictures = [_draw(board, "svg") for board in boards]
    write_bytes(path, page([to_table(board) for board in boards], pictures, notes(boards)).encode())


def _draw(board: Board, form: str) -> bytes | None:
    bars = [
        Bars(entry.name, {d.name: d.points for d in entry.score.domains}, board.total(entry), not entry.published)
        for entry in board.entries
        if entry.score is not None
        and not entry.reference
        and any(d.points is not None for d in entry.score.domains)
    ]
    return draw_points(board.label, bars, board.domains, form) if bars else None
