"""The classes of a video over time, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timesformer.checkpoints.atomic import writing
from timesformer.writers.names import for_matplotlib, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from timesformer.inference.predictor import Timeline

MAX_CLASSES = 6
# Told apart by eyes that do not see all colours (Okabe and Ito), and a grey for all others.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
GREY = "#B5B5B5"
LONGEST_NAME = 32


def save_timeline(path: Path, timeline: Timeline) -> None:
    """Write a PNG: above, the likeliest class of each moment; below, the likeliest ones as curves.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(path) as file:
        draw(timeline).savefig(file, format="png", dpi=110)


def draw(timeline: Timeline) -> Figure:
    """The same as a figure of matplotlib."""
    from matplotlib.figure import Figure  # half a second, for who draws

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    strip, curves = figure.subplots(2, 1, sharex=True, height_ratios=[1, 5])
    colours = dict(zip(likeliest(timeline), COLOURS, strict=False))
    draw_strip(strip, timeline, colours)
    draw_curves(curves, timeline, colours)
    figure.suptitle(shown(Path(timeline.path).name), fontsize=11, x=0.01, ha="left")
    legend_below = curves.get_legend_handles_labels()
    figure.legend(*legend_below, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def likeliest(timeline: Timeline) -> list[int]:
    """The classes to show: those that lead anywhere, the most frequent first, then the next."""
    probabilities = timeline.probabilities[timeline.readable]
    if not len(probabilities):
        return []
    wins = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    order = np.lexsort((-probabilities.mean(axis=0), -wins))
    return [int(label) for label in order[:MAX_CLASSES]]


def draw_strip(axes: Axes, timeline: Timeline, colours: dict[int, str]) -> None:
    for number, (start, end) in enumerate(timeline.moments):
        if timeline.readable[number]:
            best = int(timeline.probabilities[number].argmax())
            axes.axvspan(start, end, color=colours.get(best, GREY), linewidth=0)
        else:
            axes.axvspan(start, end, facecolor="white", edgecolor=GREY, hatch="///", linewidth=0)
    axes.set_yticks([])
    axes.set_ylabel("top-1", rotation=0, ha="right", va="center", fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False)


def draw_curves(axes: Axes, timeline: Timeline, colours: dict[int, str]) -> None:
    centres = timeline.spans.mean(axis=1)
    marker = "o" if len(centres) < 60 else ""
    for label, colour in colours.items():
        axes.plot(
            centres,
            100 * timeline.probabilities[:, label],
            color=colour,
            label=shown(timeline.names[label]),
            marker=marker,
            markersize=3.5,
        )
    axes.set_ylim(-2, 102)
    axes.set_xlim(timeline.spans.min(), timeline.spans.max())
    axes.set_ylabel("probability (%)")
    axes.set_xlabel("seconds (a point is the middle of a window)")
    axes.grid(axis="y", color="#E5E5E5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def shown(name: str) -> str:
    return for_matplotlib(shortened(name, LONGEST_NAME))
