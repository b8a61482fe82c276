"""The number of images of every class in every split: named bars, or a curve for many classes."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from decathlon.data.domains import Domain
from decathlon.reports.figures.lettering import REGULAR, font_of, letter, readable, shortened
from decathlon.reports.figures.points import picture, styled

COLOURS = {"train": "#2166ac", "val": "#92c5de", "test": "#f4a582"}
MOST_NAMES = 120  # classes that get a bar with a name
BARS_PER_PANEL = 40
LONGEST_NAME = 26  # characters

Labels = Mapping[str, npt.NDArray[np.int32]]
Counts = Mapping[str, npt.NDArray[np.int64]]


@styled
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
    letter(figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold"))
    lines = {split: legend_label(split, len(own), counts.get(split)) for split, own in labels.items()}
    handles = [Patch(color=COLOURS[split] if split in counts else "none", label=lines[split]) for split in labels]
    figure.legend(handles=handles, loc="outside lower left", fontsize=9)
    return picture(figure, "png", 100)


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


def _bars(domain: Domain, counts: Counts, order: npt.NDArray[np.intp]) -> Figure:
    panels = math.ceil(len(order) / BARS_PER_PANEL)
    rows = math.ceil(len(order) / panels)
    figure = Figure(figsize=(2.0 + 4.5 * panels, 1.9 + 0.19 * rows), layout="constrained")
    for i, panel in enumerate(figure.subplots(1, panels, sharex=True, squeeze=False)[0]):
        part = order[i * rows : (i + 1) * rows]
        ends = np.zeros(len(part), np.int64)
        for split, own in counts.items():
            panel.barh(range(len(part)), own[part], left=ends, color=COLOURS[split])
            ends += own[part]
        names = [shortened(readable(domain.categories[label]), LONGEST_NAME) for label in part]
        panel.set_yticks(range(len(part)), names)
        for name, text in zip(names, panel.get_yticklabels(), strict=True):
            text.set_fontproperties(FontProperties(fname=font_of(name) or REGULAR, size=8))
        panel.set_ylim(rows - 0.4, -0.6)  # bars keep their height in a panel that is not full
        panel.set_xlabel("images")
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _curve(counts: Counts, order: npt.NDArray[np.intp]) -> Figure:
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    panel = figure.subplots()
    heights, colours = [own[order] for own in counts.values()], [COLOURS[split] for split in counts]
    panel.stackplot(range(1, len(order) + 1), heights, colors=colours, step="mid")
    panel.margins(0)
    panel.set(xlabel="classes, the most frequent first", ylabel="images of a class")
    panel.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.grid(axis="y")
    return figure
