"""A heat map of how alike domains are."""

from __future__ import annotations

from textwrap import fill

from matplotlib.figure import Figure

from decathlon.reports.affinity_table import Affinity
from decathlon.reports.figures.lettering import letter, shortened
from decathlon.reports.figures.points import LONGEST_NAME, picture, styled
from decathlon.system.text import printable

MOST_NUMBERS = 20  # domains: of more, the squares are too small to hold a number


@styled
def draw_heat_map(affinity: Affinity, title: str, form: str) -> bytes:
    """Return a picture as `png`, `pdf` or `svg`: a square for every pair, blue where alike, red where opposed.

    Colours span the pairs of different domains, so that a table of values near 1 shows its differences.
    """
    names = [shortened(printable(name), LONGEST_NAME) for name in affinity]
    rows = [list(row.values()) for row in affinity.values()]
    others = [value for i, row in enumerate(rows) for j, value in enumerate(row) if i != j] or [1.0]
    low, high = min(others), max(others)
    most = max(abs(low), abs(high), 1e-3)
    limits = (-most, most) if low < 0 else (low, max(high, low + 1e-3))
    side = 2.2 + 0.48 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    shown = axes.imshow(rows, cmap="RdBu" if low < 0 else "Blues", vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    for text in (
        *axes.get_xticklabels(),
        *axes.get_yticklabels(),
        axes.set_title(fill(printable(title), int(11 * side))),
    ):
        letter(text)
    middle = (limits[0] + limits[1]) / 2
    for i, row in enumerate(rows if len(names) <= MOST_NUMBERS else []):
        for j, value in enumerate(row):
            dark = abs(value) > 0.6 * most if low < 0 else value > middle
            axes.text(
                j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    figure.colorbar(shown, shrink=0.8)
    return picture(figure, form, 150)
