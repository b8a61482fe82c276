"""A plot of the points: one small panel per domain, one bar per row of the leaderboard.

Figures are made as objects, without pyplot: no global state changes and no window can open.
"""

import io
import math
from textwrap import fill

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from decathlon.reports.figures.lettering import letter, lettered, shortened
from decathlon.reports.leaderboard import Board
from decathlon.reports.leaderboard_rows import LeaderboardRow
from decathlon.scoring.score import MOST_POINTS
from decathlon.system.text import printable

OWN, OTHER, BASELINE = "#2166ac", "#9aa5b1", "#b2182b"
PANELS_PER_ROW = 5
LONGEST_NAME = 28
# Not as a matplotlibrc of the user says: the same picture on every machine.
styled = matplotlib.rc_context(matplotlib.rcParamsDefault | {
    "axes.axisbelow": True, "axes.grid": True, "axes.grid.axis": "x", "axes.labelsize": 9, "axes.titlesize": 9,
    "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False, "grid.color": "#d9dee3",
    "legend.frameon": False, "svg.hashsalt": "decathlon", "text.parse_math": False, "xtick.labelsize": 8,
    "xtick.major.size": 0, "ytick.labelsize": 8, "ytick.major.size": 0,
})  # fmt: skip
# No date and no random identifiers: equal tables give equal bytes.
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@styled
def draw_points(board: Board, form: str) -> bytes | None:
    """Return a picture of a board as `png`, `pdf` or `svg`, the first row on top; None when no row has points."""
    rows = [
        row for row in board.rows if not row.reference and any(_points(row, d) is not None for d in board.domains)
    ]
    if not rows:
        return None
    across = min(PANELS_PER_ROW, len(board.domains))
    down = math.ceil(len(board.domains) / across)
    size = (3.0 + 2.0 * across, 1.4 + down * (0.75 + 0.24 * max(len(rows), 2)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
    for panel, domain in zip(panels, board.domains, strict=False):
        _draw_panel(panel, rows, domain)
    for panel in panels[len(board.domains) :]:
        panel.remove()
    names = [shortened(printable(row.name), LONGEST_NAME) for row in rows]
    totals = [board.total(row) for row in rows]
    labels = [name if total is None else f"{name} ({total:.0f})" for name, total in zip(names, totals, strict=True)]
    panels[0].set_yticks(range(len(rows)), [lettered(label)[0] for label in labels])
    for text in panels[0].get_yticklabels():
        letter(text)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    points = "points" if board.split == "test" else "validation points"
    heading = printable(f"{board.label}: {points} per domain (in brackets: the total)")
    letter(figure.suptitle(fill(heading, width=int(9 * size[0])), fontsize=11, fontweight="bold"))
    kinds = {"published" if row.published else "runs": _colour(row) for row in rows}
    handles: list[Patch | Line2D] = [Patch(color=kinds[kind], label=kind) for kind in sorted(kinds, reverse=True)]
    handles.append(Line2D([], [], color=BASELINE, linestyle="--", label="the baseline: 250 points"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return picture(figure, form, 150)


def picture(figure: Figure, form: str, dpi: int) -> bytes:
    """Return a figure as a file of a format; equal figures give equal bytes."""
    out = io.BytesIO()
    figure.savefig(out, format=form, dpi=dpi, metadata=METADATA[form])
    return out.getvalue()


def _draw_panel(panel: Axes, rows: list[LeaderboardRow], domain: str) -> None:
    letter(panel.set_title(printable(domain)))
    panel.set_xlabel("points", fontsize=8)
    panel.set_xlim(0, 1250)  # room for the number beside the longest bar
    panel.set_xticks([0, 500, 1000])
    panel.axvline(MOST_POINTS / 4, color=BASELINE, linewidth=1, linestyle="--")
    values = [_points(row, domain) for row in rows]
    lengths = [value or 0.0 for value in values]
    bars = panel.barh(range(len(rows)), lengths, height=0.7, color=[_colour(row) for row in rows])
    numbers = ["none" if value is None else f"{value:.0f}" for value in values]
    # On white, so that the baseline does not cross a number.
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    panel.bar_label(bars, numbers, padding=3, fontsize=7, bbox=box)


def _colour(row: LeaderboardRow) -> str:
    return OTHER if row.published else OWN


def _points(row: LeaderboardRow, domain: str) -> float | None:
    domains = row.score.domains if row.score is not None else ()
    return next((found.points for found in domains if found.name == domain), None)
