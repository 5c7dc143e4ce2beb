"""Figures as plotly's own description of them: dicts that the page's script draws.

Made without plotly's Python classes, which take seconds to import; the tests hold each figure
against them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from timesformer.report.history import History
from timesformer.report.statistics import (
    NUM_BINS,
    Calibration,
    Floats,
    Ints,
    averages,
    wilson,
)
from timesformer.writers.names import for_plotly, shortened

Figure = dict[str, Any]
Numbers = Sequence[float] | Floats

BLUE, ORANGE, GREEN, VIOLET = "#2458c5", "#d9622b", "#2a8f5b", "#7a4fbf"
RED, TEAL, GREY = "#b3263a", "#16808f", "#7b8794"
COLOURS = (BLUE, ORANGE, GREEN, VIOLET, RED, TEAL)
PARTS = ("#9fc0f0", BLUE, ORANGE, "#d5dbe4")  # of a stacked bar: the outer ones are pale
GRID = "#e4e8ee"
LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
SHARES = [[0, "#f7f9fc"], [0.02, "#dbe6f8"], [0.3, "#8fb2ea"], [0.7, "#3a6fd0"], [1, "#12337f"]]

MAX_POINTS = 1000  # of a curve
LONGEST_NAME = 26  # characters of a class on an axis
MAX_NUMBERED_CLASSES = 12  # with so many, the cells of a matrix hold their numbers


def figure(data: Sequence[Figure], *, height: int = 320, **layout: Any) -> Figure:
    """Traces and the look that all figures share."""
    look = {
        "height": height,
        "autosize": True,
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#27313f"},
        "hoverlabel": {"align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        "legend": LEGEND,
        "showlegend": len(data) > 1,
    }
    return {"data": list(data), "layout": look | layout}


def axis(title: str, **more: Any) -> Figure:
    look = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return {"title": {"text": title, "standoff": 8}} | look | more


def axis_names(names: Sequence[str]) -> list[str]:
    """Names short enough for an axis, each once."""
    short = [shortened(name, LONGEST_NAME) for name in names]
    times = Counter(short)
    return [
        for_plotly(f"{name} ({number})" if times[name] > 1 else name)
        for number, name in enumerate(short)
    ]


def line(x: Numbers, y: Numbers, name: str, colour: str, **more: Any) -> Figure:
    look = {"type": "scatter", "mode": "lines", "line": {"color": colour, "width": 2}}
    return look | {"x": rounded(x), "y": rounded(y), "name": for_plotly(name)} | more


def rounded(values: Numbers) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def loss_curves(histories: Mapping[str, History]) -> Figure | None:
    """Mean loss of each epoch; of a single run, that of its log lines too."""
    traces = []
    for (name, history), colour in zip(histories.items(), cycle(len(histories)), strict=True):
        if len(histories) == 1:
            x, y = history.curve("train_iter", "loss")
            faint = {"color": "#a9bfe8", "width": 1.2}
            few, many = (averages(values, MAX_POINTS) for values in (x, y))
            traces.append(line(few, many, "while it went", colour, line=faint))
            name = "mean of an epoch"
        x, y = history.curve("train_epoch", "loss")
        traces.append(line(x, y, name, colour, mode=marked(x)))
    return curves(traces, "loss in training")


def accuracy_curves(histories: Mapping[str, History]) -> Figure | None:
    """Top-1 in training and validation, %; of several runs, validation alone."""
    traces = []
    for (name, history), colour in zip(histories.items(), cycle(len(histories)), strict=True):
        if len(histories) == 1:
            x, y = accuracy(history, "train_epoch")
            traces.append(line(x, y, "training", "#a9bfe8", mode=marked(x)))
            name = "validation"
        x, y = accuracy(history, "val_epoch")
        traces.append(line(x, y, name, colour, mode=marked(x)))
    return curves(traces, "top-1 accuracy, %")


def rate_curves(histories: Mapping[str, History]) -> Figure | None:
    traces = []
    for (name, history), colour in zip(histories.items(), cycle(len(histories)), strict=True):
        x, y = (averages(values, MAX_POINTS) for values in history.curve("train_iter", "lr"))
        traces.append(line(x, y, name, colour))
    return curves(traces, "learning rate", exponentformat="power")


def accuracy(history: History, kind: str) -> tuple[list[float], list[float]]:
    x, errors = history.curve(kind, "top1_err")
    return x, [100 - error for error in errors]


def cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def marked(x: Sequence[float]) -> str:
    """A point of each value where they are few: one alone makes no line."""
    return "lines+markers" if len(x) <= 40 else "lines"


def curves(traces: Sequence[Figure], title: str, **look: Any) -> Figure | None:
    """None where no trace has a point."""
    traces = [trace for trace in traces if trace["x"]]
    if not traces:
        return None
    return figure(
        traces,
        xaxis=axis("epochs", rangemode="tozero"),
        yaxis=axis(title, **look),
        hovermode="x unified",
    )


def confusion(matrix: Ints, names: Sequence[str]) -> Figure:
    """A heat map: the share of each class that was taken for each; `names` of rows and columns.

    Args:
        matrix: int64 (K, K), counts; a row is a class of the videos.
    """
    sizes = matrix.sum(axis=1, keepdims=True)
    shares = np.round(100 * matrix / np.maximum(sizes, 1), 1)
    labels = axis_names(names)
    heat = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": short(shares),
        "customdata": matrix.tolist(),
        "zmin": 0,
        "zmax": 100,
        "colorscale": SHARES,
        "xgap": gap(len(names)),
        "ygap": gap(len(names)),
        "colorbar": {"ticksuffix": " %", "thickness": 10, "outlinewidth": 0, "len": 0.6},
        "hovertemplate": "is <b>%{y}</b><br>taken for <b>%{x}</b><br>"
        "%{customdata} videos, %{z} % of the class<extra></extra>",
    }
    if len(names) <= MAX_NUMBERED_CLASSES:
        heat |= {"text": [[n or "" for n in row] for row in matrix.tolist()]}
        heat["texttemplate"] = "%{text}"
    side = {"type": "category", "showgrid": False, "ticks": "", "constrain": "domain"}
    return figure(
        [heat],
        height=min(max(360, 140 + 24 * len(names)), 760),
        xaxis=axis("taken for", tickangle=-45, **side),
        yaxis=axis("class", autorange="reversed", **side),
    )


def gap(num_classes: int) -> int:
    """Pixels between cells; none where a cell is hardly more than that."""
    return 1 if num_classes <= 40 else 0


def short(values: Floats) -> list[list[float]]:
    """For JSON: 0 instead of 0.0, which is most of a large matrix."""
    return [[int(v) if v == int(v) else v for v in row] for row in values.tolist()]


def reliability(calibration: Calibration) -> Figure:
    """How often the model is right when it is so sure; below, how often it is."""
    filled = np.flatnonzero(calibration.counts)
    counts, shares = calibration.counts[filled], calibration.accuracy[filled]
    right = np.round(shares * counts).astype(int)
    bars = {
        "type": "bar",
        "name": "right",
        "x": rounded(100 * (filled + 0.5) / NUM_BINS),
        "y": rounded(100 * shares),
        "width": 100 / NUM_BINS,
        "marker": {"color": "#8fb2ea", "line": {"color": "white", "width": 1}},
        "customdata": np.stack([counts, 100 * calibration.confidence[filled]], axis=1).tolist(),
        "hovertemplate": "sure to %{customdata[1]:.1f} % on average<br>right in %{y:.1f} % of "
        "%{customdata[0]} videos<extra></extra>",
        "error_y": whiskers(shares, list(map(wilson, right.tolist(), counts.tolist()))),
    }
    ideal = line([0, 100], [0, 100], "as sure as right", ORANGE, hoverinfo="skip")
    ideal["line"] = {"color": ORANGE, "width": 2, "dash": "dot"}
    amount = bars | {"name": "videos", "y": counts.tolist(), "yaxis": "y2", "showlegend": False}
    amount |= {"marker": {"color": "#c3ccd8"}, "error_y": {"visible": False}}
    amount["hovertemplate"] = "%{y} videos<extra></extra>"
    return figure(
        [bars, ideal, amount],
        height=420,
        bargap=0,
        xaxis=axis("probability of the answer, %", range=[0, 100], anchor="y2"),
        yaxis=axis("right, %", range=[0, 102], domain=[0.32, 1]),
        yaxis2=axis("videos", domain=[0, 0.22], nticks=4),
    )


def whiskers(shares: Floats, ranges: Sequence[tuple[float, float]]) -> Figure:
    """From each share to the ends of its interval, in %."""
    lows, highs = np.array(ranges).reshape(-1, 2).T
    return {
        "type": "data",
        "symmetric": False,
        "array": rounded(100 * (highs - shares)),
        "arrayminus": rounded(100 * (shares - lows)),
        "color": GREY,
        "thickness": 1,
        "width": 2,
    }


def view_accuracies(grid: Floats, together: float) -> Figure:
    """Top-1 of each view alone, and of all of them `together`, as shares."""
    clips, crops = grid.shape
    x = list(range(1, clips + 1))
    traces = [
        line(x, 100 * grid[:, crop], name, COLOURS[crop % len(COLOURS)], mode="lines+markers")
        for crop, name in enumerate(crop_names(crops))
    ]
    all_views = line([0.5, clips + 0.5], [100 * together] * 2, "all views together", "#27313f")
    all_views["line"] = {"color": "#27313f", "width": 2, "dash": "dot"}
    return figure(
        [*traces, all_views],
        xaxis=axis("temporal view", dtick=1 if clips <= 20 else None, range=[0.5, clips + 0.5]),
        yaxis=axis("top-1 accuracy, %"),
        hovermode="x unified",
    )


def crop_names(crops: int) -> list[str]:
    """Of the three crops along the long side; of a single one, only that it is a view."""
    if crops == 3:
        return ["left or top crop", "centre crop", "right or bottom crop"]
    return ["one view"] if crops == 1 else [f"crop {i + 1}" for i in range(crops)]


def intervals(names: Sequence[str], shares: Sequence[tuple[float, float, float]]) -> Figure:
    """Accuracy of several runs with their intervals: (value, low, high), as shares."""
    values = np.array([value for value, _, _ in shares])
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(100 * values),
        "y": axis_names(names),
        "marker": {"color": cycle(len(names)), "size": 11},
        "error_x": whiskers(values, [(low, high) for _, low, high in shares]),
        "hovertemplate": "%{y}: %{x:.2f} %<extra></extra>",
    }
    return figure(
        [dots],
        height=110 + 34 * len(names),
        xaxis=axis("top-1 accuracy with its 95 % interval, %"),
        yaxis=axis("", type="category", autorange="reversed"),
    )


def stacked(names: Sequence[str], parts: Mapping[str, Sequence[int]]) -> Figure:
    """A bar for each name, of `parts` one after the other: their numbers of videos by title."""
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": for_plotly(title),
            "x": list(numbers),
            "y": axis_names(names),
            "marker": {"color": colour},
            "hovertemplate": "%{x} videos<extra>%{fullData.name}</extra>",
        }
        for (title, numbers), colour in zip(parts.items(), PARTS, strict=True)
    ]
    return figure(
        bars,
        height=150 + 44 * len(names),
        barmode="stack",
        legend=LEGEND | {"traceorder": "normal"},
        xaxis=axis("videos"),
        yaxis=axis("", type="category", autorange="reversed"),
    )
