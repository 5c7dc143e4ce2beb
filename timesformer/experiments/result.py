"""All that an experiment found out, as plain values for a JSON file; and against an earlier one."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timesformer.errors import UserError
from timesformer.experiments.answers import answers_of, num_independent
from timesformer.experiments.checks import number, of_chance, verdicts, words
from timesformer.experiments.cost import costs
from timesformer.experiments.facts import is_done, read_facts
from timesformer.experiments.numbers import deviation, interval, noise, standard_error
from timesformer.experiments.plan import MEASURES, Cell, Experiment, Result, Run, by_place


def result_of(experiment: Experiment) -> Result:
    """What is known by now: cells whose runs are not all done are left out."""
    cells = [found for cell in experiment.cells if (found := cell_result(cell, experiment))]
    answers = {(cell.row, cell.column): answers_of(cell) for cell in experiment.cells}
    known = {place: found for place, found in answers.items() if found}
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "claim": experiment.claim,
        "source": experiment.source,
        "rows": list(experiment.rows),
        "columns": list(experiment.columns),
        "published": {name: dict(numbers) for name, numbers in experiment.published.items()},
        "cells": cells,
        "checks": verdicts(experiment, by_place(cells), known),
    }


def cell_result(cell: Cell, experiment: Experiment) -> Result | None:
    """None where a run is missing."""
    cost = costs(cell.resolved)
    runs = [run_result(run) for run in cell.runs]
    if not all(is_done(run) for run in runs):
        return None
    values = [run[cell.measure] for run in runs] or [computed(cell, cost)]
    num_videos = runs[0]["num_videos"] if runs else None
    independent = None if num_videos is None else num_independent(cell, num_videos)
    xs = sorted({panel.x for panel in experiment.panels if panel.x})
    return {
        "row": cell.row,
        "column": cell.column,
        "identity": cell.identity,
        "measure": MEASURES[cell.measure],
        "cfg": str(cell.cfg),
        "changes": dict(cell.changes),
        "values": values,
        "mean": statistics.fmean(values),
        "deviation": deviation(values),
        "standard_error": standard_error(values, independent),
        "interval": interval(values, independent),
        "num_videos": num_videos,
        "x": {name: cost[name] if name in cost else value_of(cell, name) for name in xs},
        **cost,
        "runs": runs,
    }


def computed(cell: Cell, cost: Mapping[str, float | None]) -> float:
    value = cost[cell.measure]
    if value is None:
        raise UserError(
            f"row '{cell.row}', column '{cell.column}': {cell.measure} is not known of "
            f"{cell.resolved.MODEL.MODEL_NAME}, which is no TimeSformer. Measure its parameters."
        )
    return value


def run_result(run: Run) -> Result:
    return {"run": run.name, "seed": run.seed, **read_facts(run.folder)}


def value_of(cell: Cell, key: str) -> Any:
    value = cell.resolved
    for part in key.split("."):
        value = value[part]
    return value


def read_result(path: Path) -> Result | None:
    """Of an earlier time; None where there is none.

    Raises:
        UserError: the file holds something else.
    """
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        by_place(result["cells"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no result of an experiment: move it away") from error
    return dict(result)


def against(now: Result, committed: Result) -> list[dict[str, Any]]:
    """``{"holds", "says"}`` of each cell that has the same config in both.

    It neither holds nor fails, None, where either is of a single seed: how far another seed is
    away, nobody knows.
    """
    before = by_place(committed["cells"])
    lines = []
    for place, cell in by_place(now["cells"]).items():
        other = before.get(place)
        if other is None or other["identity"] != cell["identity"]:
            continue
        chance = noise(cell, other)
        near = abs(cell["mean"] - other["mean"]) <= chance + 1e-9 * abs(other["mean"])
        says = f"{words(place)}: {number(cell['mean'])} now, {number(other['mean'])} committed"
        if is_of_one_seed(cell) or is_of_one_seed(other):
            lines.append({"holds": None, "says": f"{says}, of a single seed here or there"})
        else:
            lines.append({"holds": near, "says": f"{says}{of_chance(chance)}"})
    return lines


def is_of_one_seed(cell: Result) -> bool:
    return len(cell["runs"]) == 1


def as_json(result: Mapping[str, Any]) -> str:
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"
