"""A result as a PNG: bars for each row, or curves over what the rows differ in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from timesformer.experiments.plan import Panel, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cells = Sequence[Result]
INCHES_OF_A_PANEL = 3.6


def draw(result: Result, panels: Sequence[Panel], file: BinaryIO) -> None:
    """Side by side: a picture for each column of bars, and one for each curve."""
    # Imported late: it costs a second. Without pyplot, which would look for a screen.
    from matplotlib.figure import Figure

    pictures = [picture for panel in panels for picture in pictures_of(panel, result)]
    width = 1.5 + INCHES_OF_A_PANEL * len(pictures)
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    places = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axes, picture in zip(places, pictures, strict=True):
        picture(axes, is_first=axes is places[0])
    figure.suptitle(result["title"])
    figure.savefig(file, format="png", dpi=110)


def pictures_of(panel: Panel, result: Result) -> list[Callable[..., None]]:
    shown = panel.rows or result["rows"]
    cells = [cell for cell in result["cells"] if cell["row"] in shown]
    if panel.kind == "curve":
        return [partial(curves, panel, result, cells)]
    published = result["published"]
    columns = dict.fromkeys([*result["columns"], *published])  # each once
    return [partial(bars, name, shown, cells, published.get(name, {})) for name in columns]


def bars(
    column: str,
    rows: Sequence[str],
    cells: Cells,
    published: dict[str, float],
    axes: Axes,
    *,
    is_first: bool,
) -> None:
    """Ours as bars with the deviation over seeds; published numbers as diamonds."""
    own = {cell["row"]: cell for cell in cells if cell["column"] == column}
    places = {name: place for place, name in enumerate(rows)}
    axes.barh(
        [places[name] for name in own],
        [cell["mean"] for cell in own.values()],
        xerr=spread(list(own.values())),
        color="C0",
        height=0.6,
        capsize=3,
    )
    there = {name: value for name, value in published.items() if name in places}
    if there:  # nothing at all would count as a point at the corner of the figure
        heights = [places[name] for name in there]
        axes.plot(list(there.values()), heights, "D", color="C1", clip_on=False, label="published")
    if own and there:
        axes.legend()
    axes.set(title=column, xlabel=next((cell["measure"] for cell in own.values()), "top-1, %"))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), list(rows) if is_first else [""] * len(rows))
    percent = all(cell["measure"].endswith("%") for cell in own.values())
    axes.set_xlim(0, 100 if percent else None)
    axes.grid(axis="x", alpha=0.3)


def spread(cells: Cells) -> list[float] | None:
    """The length of error bars; None, for none, where there is a single seed."""
    several = any(len(cell["values"]) > 1 for cell in cells)
    return [cell["deviation"] for cell in cells] if several else None


def curves(panel: Panel, result: Result, cells: Cells, axes: Axes, *, is_first: bool) -> None:
    """A line for each column, in the order of x; error bars are the deviation over seeds."""
    known = [cell for cell in cells if cell["x"][panel.x] is not None]
    for column in result["columns"]:
        own = [cell for cell in known if cell["column"] == column]
        own.sort(key=lambda cell: cell["x"][panel.x])
        axes.errorbar(
            [cell["x"][panel.x] for cell in own],
            [cell["mean"] for cell in own],
            yerr=spread(own),
            marker="o",
            capsize=3,
            label=column,
        )
    if panel.logarithmic:
        axes.set_xscale("log", base=2)
    values = sorted({cell["x"][panel.x] for cell in known})
    axes.set_xticks(values, [f"{value:.{4 if value >= 1000 else 3}g}" for value in values])
    axes.minorticks_off()
    measures = [cell["measure"] for cell in cells]
    axes.set(xlabel=panel.label or panel.x, ylabel=measures[0] if measures and is_first else "")
    if all(measure.endswith("%") for measure in measures):
        axes.set_ylim(0, 103)
    axes.grid(alpha=0.3)
    if len(result["columns"]) > 1:
        axes.legend()
