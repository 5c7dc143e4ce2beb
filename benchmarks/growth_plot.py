"""The paper's figure 3 out of the JSON of `benchmarks.growth`: operations, and measured time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

COLOURS = {"divided_space_time": "tab:blue", "joint_space_time": "tab:red"}
NAMES = {"divided_space_time": "divided", "joint_space_time": "joint"}
LINES = {"forward": "-", "training": "--"}
MARKERS = {"forward": "o", "training": "s"}

Rows = list[dict[str, Any]]


def draw(report: dict[str, Any], path: Path) -> None:
    """Writes a PNG: on the left frames grow, on the right pixels; operations above time."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), sharex="col", sharey="row")
    frames, side = report["start"]
    sweeps = {
        "frames": ([r for r in report["rows"] if r["side"] == side], f"{side} x {side} pixels"),
        "side": ([r for r in report["rows"] if r["frames"] == frames], f"{frames} frames"),
    }
    for column, (along, (rows, title)) in enumerate(sweeps.items()):
        operations(axes[0, column], rows, along)
        milliseconds(axes[1, column], rows, along, report["fits"])
        axes[0, column].set_title(title)
    axes[0, 0].set_ylabel("TFLOP (two for a multiply-add), network, forward")
    axes[1, 0].set_ylabel(f"ms, {report['what']}, {report['precision']} (lines: fit)")
    axes[1, 0].set_xlabel("frames")
    axes[1, 1].set_xlabel("pixels, height and width")
    machine = report["machine"]
    figure.suptitle(f"TimeSformer, base-16, one clip; {machine['gpu'] or machine['processor']}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def operations(axes: Axes, rows: Rows, along: str) -> None:
    for scheme, colour in COLOURS.items():
        own = [row for row in rows if (row["scheme"], row["task"]) == (scheme, "forward")]
        values = [row["network_tflops"] for row in own]
        axes.plot([row[along] for row in own], values, "o-", color=colour, label=NAMES[scheme])
    logarithmic(axes, rows, along)


def milliseconds(axes: Axes, rows: Rows, along: str, fits: dict[str, dict[str, float]]) -> None:
    """Points are measured, lines are the fit; a cross above marks what did not fit into memory."""
    for name in dict.fromkeys((row["scheme"], row["task"]) for row in rows):
        scheme, task = name
        own = [row for row in rows if (row["scheme"], row["task"]) == name]
        seen = [row for row in own if row["ms"] is not None]
        style = {"color": COLOURS[scheme], "linestyle": LINES[task]}
        label = f"{NAMES[scheme]}, {task}"
        dots = {**style, "linestyle": "none", "marker": MARKERS[task]}
        axes.plot([r[along] for r in seen], [r["ms"] for r in seen], label=label, **dots)
        fit = fits.get(f"{scheme}, {task}")
        if fit:
            axes.plot([r[along] for r in own], [by_fit(r, fit) for r in own], **style)
            lost = [row for row in own if row["out_of_memory"]]
            label = f"{NAMES[scheme]}, {task}: out of memory" if lost else None
            cross = {**dots, "marker": "x", "markersize": 12}
            axes.plot(
                [r[along] for r in lost], [by_fit(r, fit) for r in lost], label=label, **cross
            )
    logarithmic(axes, rows, along)


def by_fit(row: dict[str, Any], fit: dict[str, float]) -> float:
    return fit["ms_per_token"] * row["tokens"] + fit["ms_per_pair"] * row["pairs"] + fit["ms"]


def logarithmic(axes: Axes, rows: Rows, along: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({row[along] for row in rows})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left")
