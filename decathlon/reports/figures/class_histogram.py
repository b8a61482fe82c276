"""The number of images of every class in every split: named bars, or a curve for many classes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from decathlon.data.domains import Domain
from decathlon.reports.figures.lettering import REGULAR, font_of, readable, shortened
from decathlon.reports.figures.points import GRID, METADATA

COLOURS = {"train": "#2166ac", "val": "#92c5de", "test": "#f4a582"}
MOST_NAMES = 120  # classes that get a bar with a name
BARS_PER_PANEL = 40
LONGEST_NAME = 26  # characters

Labels = Mapping[str, npt.NDArray[np.int32]]
Counts = Mapping[str, npt.NDArray[np.int64]]


def draw_classes(domain: Domain, labels: Labels) -> bytes | None:
    """Draw the number of images of each class in every split as PNG, the most frequent class first.

    `labels` are those of every split, -1 where unknown. Returns None when no label is known.
    """
    classes = len(domain.categories)
    counts = {
        split: np.bincount(own[own >= 0], minlength=classes) for split, own in labels.items() if (own >= 0).any()
    }
    if not counts:
        return None
    order = np.argsort(-np.sum([*counts.values()], axis=0), kind="stable")
    figure = _bars(domain, counts, order) if classes <= MOST_NAMES else _curve(counts, order)
    noun = "class" if classes == 1 else "classes"
    images = int(sum(own.sum() for own in counts.values()))
    title = f"{domain.name}: {_images(images)} with labels in {classes:,} {noun}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    handles = [
        Patch(
            color=COLOURS[split] if split in counts else "none",
            label=legend_label(split, len(own), counts.get(split)),
        )
        for split, own in labels.items()
    ]
    figure.legend(handles=handles, loc="outside lower left", fontsize=9, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata=METADATA["png"])
    return out.getvalue()


def legend_label(split: str, images: int, counts: npt.NDArray[np.int64] | None) -> str:
    """Return a split's line in the legend."""
    text = f"{split}: {_images(images)}"
    if counts is None:
        return f"{text} without labels"
    low, high = int(counts.min()), int(counts.max())
    text += f", {low:,} per class" if low == high else f", {low:,} to {high:,} per class"
    bare = int((counts == 0).sum())
    return f"{text}; {bare:,} {'class has' if bare == 1 else 'classes have'} none" if bare else text


def _images(number: int) -> str:
    return f"{number:,} {'image' if number == 1 else 'images'}"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bars(domain: Domain, counts: Counts, order: npt.NDArray[np.intp]) -> Figure:
    panels = math.ceil(len(order) / BARS_PER_PANEL)
    rows = math.ceil(len(order) / panels)
    figure = _figure(2.0 + 4.5 * panels, 1.9 + 0.19 * rows)
    axes = figure.subplots(1, panels, sharex=True, squeeze=False)[0]
    for i, panel in enumerate(axes):
        _panel(panel, domain, counts, order[i * rows : (i + 1) * rows])
        panel.set_ylim(rows - 0.4, -0.6)  # bars keep their height in a panel that is not full
    return figure


def _panel(panel: Axes, domain: Domain, counts: Counts, order: npt.NDArray[np.intp]) -> None:
    places = np.arange(len(order))
    left = np.zeros(len(order), np.int64)
    for split, own in counts.items():
        panel.barh(places, own[order], left=left, height=0.8, color=COLOURS[split])
        left = left + own[order]
    names = [shortened(readable(domain.categories[label]), LONGEST_NAME) for label in order]
    panel.set_yticks(places, names, parse_math=False)
    for name, text in zip(names, panel.get_yticklabels(), strict=True):
        text.set_fontproperties(FontProperties(fname=font_of(name) or REGULAR, size=8))
    panel.set_xlabel("images", fontsize=9)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.tick_params(labelsize=8, length=0)
    panel.grid(axis="x", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _curve(counts: Counts, order: npt.NDArray[np.intp]) -> Figure:
    figure = _figure(9.0, 4.6)
    panel = figure.subplots()
    below = np.zeros(len(order), np.int64)
    edges = np.arange(len(order) + 1) + 0.5
    for split, own in counts.items():
        panel.stairs(below + own[order], edges, baseline=below, fill=True, color=COLOURS[split])
        below = below + own[order]
    panel.set_xlim(0.5, len(order) + 0.5)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("classes, the most frequent first", fontsize=9)
    panel.set_ylabel("images of a class", fontsize=9)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True))
    panel.tick_params(labelsize=8)
    panel.grid(axis="y", color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    return figure
