"""A result as Markdown. It reads nothing but the result, so that a page can be held against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from timesformer.experiments.checks import number
from timesformer.experiments.plan import Result, by_place


def markdown(result: Result) -> str:
    """The table, how it came about, and what holds."""
    lines = [*table(result), "", *notes(result)]
    if result["checks"]:
        lines += ["", *(f"- {sentence(check)}" for check in result["checks"])]
    return "\n".join(lines) + "\n"


def sentence(check: Mapping[str, Any]) -> str:
    verdict = {True: "holds", False: "**fails**", None: "not judged"}[check["holds"]]
    return f"{verdict}: {check['says']}"


def table(result: Result) -> list[str]:
    """Ours, in round brackets what was published under the same name; then the rest of that."""
    others = [name for name in result["published"] if name not in result["columns"]]
    cells = by_place(result["cells"])
    trained = any(cell["runs"] for cell in cells.values())
    costs = ["parameters, M", "GFLOPs of a view"] if trained else []
    units = [heading(name, result["cells"]) for name in result["columns"]]
    lines = [
        row(["", *units, *costs, *others]),
        row(["---", *["---:"] * (len([*units, *costs, *others]))]),
    ]
    for name in result["rows"]:
        ours = [
            shown(cells.get((name, column)), result, name, column) for column in result["columns"]
        ]
        cost = cost_cells(cells.get((name, result["columns"][0]))) if trained else []
        beside = [published(result, name, column) for column in others]
        lines.append(row([name, *ours, *cost, *beside]))
    return lines


def heading(column: str, cells: Sequence[Result]) -> str:
    """With what is measured, unless the name says so."""
    measures = {cell["measure"] for cell in cells if cell["column"] == column}
    extra = [measure for measure in sorted(measures) if measure not in column]
    return ": ".join([column, *extra[:1]])


def shown(cell: Result | None, result: Result, row_name: str, column: str) -> str:
    value = published(result, row_name, column)
    beside = f" ({value})" if value else ""
    if cell is None:
        return f"-{beside}"
    spread = f" ± {cell['deviation']:.2f}" if len(cell["values"]) > 1 else ""
    return f"{number(cell['mean'])}{spread}{within(cell)}{beside}"


def within(cell: Result) -> str:
    """The interval of an accuracy; nothing of what is calculated."""
    if cell["interval"] is None:
        return ""
    low, high = cell["interval"]
    return f" [{low:.1f} to {high:.1f}]"


def published(result: Result, row_name: str, column: str) -> str:
    value = result["published"].get(column, {}).get(row_name)
    return "" if value is None else f"{value}"


def cost_cells(cell: Result | None) -> list[str]:
    costs = [None, None] if cell is None else [cell["parameters"], cell["gflops"]]
    return ["-" if value is None else number(value) for value in costs]


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def notes(result: Result) -> list[str]:
    named = {run["run"]: run for cell in result["cells"] for run in cell["runs"]}
    runs = list(named.values())  # each once, whichever cells it is in
    lines = []
    if runs:
        seeds = sorted({run["seed"] for run in runs})
        videos = sorted({run["num_videos"] for run in runs})
        lines.append(
            f"{of_seeds(seeds)}; {' or '.join(map(str, videos))} test videos, in square brackets "
            f"the 95 % interval that is due to their choice (Wilson). {how_long(runs)}"
        )
        lines.append(machines(runs))
    if result["source"]:
        lines.append(f"Published: {result['source']}.")
    return lines


def of_seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"Seed {seeds[0]}"
    return f"Seeds {', '.join(map(str, seeds))}: mean ± standard deviation over them"


def how_long(runs: Sequence[Mapping[str, Any]]) -> str:
    cpu = sum(run["cpu_seconds"] for run in runs)
    seconds = [run["seconds"] for run in runs]
    return (
        f"{len(runs)} runs, {cpu / 60:.0f} minutes of processor time in all; a run took "
        f"{min(seconds):.0f} to {max(seconds):.0f} s."
    )


def machines(runs: Sequence[Mapping[str, Any]]) -> str:
    """Each machine once; a + at a commit stands for changes that were not committed."""
    names = ("processor", "cores", "threads", "torch", "python")
    found = dict.fromkeys(tuple(run.get(name) for name in names) for run in runs)
    said = [
        f"{processor} ({cores} cores, threads of a run: {threads or 'all'}), PyTorch {torch}, "
        f"Python {python}"
        for processor, cores, threads, torch, python in found
    ]
    commits = dict.fromkeys(run.get("commit") or "unknown" for run in runs)
    return f"{'; '.join(said)}. Commit {', '.join(commits)}."
