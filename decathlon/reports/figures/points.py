"""A plot of the points: one small panel per domain, one bar per row of the leaderboard.

Figures are made as objects, without pyplot: no global state changes and no window can open.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from decathlon.scoring.score import MOST_POINTS

OWN, OTHER, GRID = "#2166ac", "#9aa5b1", "#d9dee3"
BASELINE_POINTS = MOST_POINTS / 4
PANELS_PER_ROW = 5
LONGEST_NAME = 28
# No date and no random identifiers: equal tables give equal bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None},
}  # fmt: skip


@dataclass(frozen=True)
class Bars:
    """One row's points by domain; `own` distinguishes the reader's runs from published rows."""

    name: str
    points: Mapping[str, float | None]
    total: float | None
    own: bool = True

    @property
    def label(self) -> str:
        """The name, cut to a readable length, and the total."""
        name = self.name if len(self.name) <= LONGEST_NAME else f"{self.name[: LONGEST_NAME - 1]}…"
        return name if self.total is None else f"{name} ({self.total:.0f})"


def draw_points(title: str, bars: Sequence[Bars], domains: Sequence[str], form: str) -> bytes:
    """Return a picture of the points as `png`, `pdf` or `svg`; the first bars on top."""
    across = min(PANELS_PER_ROW, len(domains))
    down = math.ceil(len(domains) / across)
    size = (3.0 + 2.0 * across, 1.4 + down * (0.75 + 0.24 * max(len(bars), 2)))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for i, panel in enumerate(panels.flat):
        if i < len(domains):
            _panel(panel, bars, domains[i])
            if i + across >= len(domains):  # the lowest panel of its column
                panel.tick_params(labelbottom=True)
                panel.set_xlabel("points", fontsize=8)
        else:
            panel.set_axis_off()
    heading = fill(f"{title}: points per domain (in brackets: the total)", width=int(9 * size[0]))
    figure.suptitle(heading, fontsize=11, fontweight="bold", parse_math=False)
    _legend(figure, bars)
    with matplotlib.rc_context({"svg.hashsalt": "decathlon"}):
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=150, metadata=METADATA[form])
    return out.getvalue()


def _panel(panel: Axes, bars: Sequence[Bars], domain: str) -> None:
    panel.set_title(domain, fontsize=9, parse_math=False)
    panel.set_xlim(0, 1250)  # room for the number beside the longest bar
    panel.set_xticks([0, 500, 1000])
    panel.set_yticks(range(len(bars)), [row.label for row in bars], parse_math=False)
    panel.set_ylim(len(bars) - 0.4, -0.6)
    panel.tick_params(labelsize=8, length=0)
    panel.grid(axis="x", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.axvline(BASELINE_POINTS, color="#b2182b", linewidth=1, linestyle="--")
    for position, row in enumerate(bars):
        value = row.points.get(domain)
        panel.barh(position, value or 0.0, height=0.7, color=OWN if row.own else OTHER)
        number = "none" if value is None else f"{value:.0f}"
        # On white, so that the baseline does not cross a number.
        panel.text(
            (value or 0.0) + 25, position, number, va="center", fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _legend(figure: Figure, bars: Sequence[Bars]) -> None:
    handles: list[Patch | Line2D] = []
    if any(row.own for row in bars):
        handles.append(Patch(color=OWN, label="runs"))
    if not all(row.own for row in bars):
        handles.append(Patch(color=OTHER, label="published"))
    handles.append(Line2D([], [], color="#b2182b", linestyle="--", linewidth=1, label="the baseline: 250 points"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
