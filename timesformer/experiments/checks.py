"""Whether what is claimed holds: a sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timesformer.experiments.numbers import noise
from timesformer.experiments.plan import Check, Experiment

Cells = Mapping[tuple[str, str], Mapping[str, Any]]


def verdicts(experiment: Experiment, cells: Cells) -> list[dict[str, Any]]:
    """``{"holds", "says"}`` of each check, in the order of the file.

    Args:
        cells: by row and column; those whose runs failed are missing.
    """
    return [verdict(check, experiment, cells) for check in experiment.checks]


def verdict(check: Check, experiment: Experiment, cells: Cells) -> dict[str, Any]:
    other = check.bound if isinstance(check.bound, tuple) else None
    if missing := [cell for cell in (check.cell, other) if cell and cell not in cells]:
        return {"holds": False, "says": f"{words(missing[0])} has no result"}
    holds, says = compared(check, experiment, cells)
    mean = number(cells[check.cell]["mean"])
    return {"holds": holds, "says": f"{words(check.cell)}: {mean}, to be {says}"}


def compared(check: Check, experiment: Experiment, cells: Cells) -> tuple[bool, str]:
    """Whether the check holds, and what it asks for."""
    cell = cells[check.cell]
    mean = cell["mean"]
    if isinstance(check.bound, tuple):
        other = cells[check.bound]
        chance = noise(cell, other)
        beside = f"{words(check.bound)}, {number(other['mean'])}{of_chance(chance)}"
        if check.kind == "not_below":
            return mean >= other["mean"] - chance, f"not below {beside}"
        least = max(check.by, chance)
        by = f" by {number(check.by)} or more" if check.by else ""
        return mean - other["mean"] >= least, f"above {beside}{by}"
    if check.kind == "near_published":
        row, column = check.cell
        published = experiment.published[column][row]
        near = abs(mean / published - 1) <= check.bound
        return near, f"within {100 * check.bound:g} % of the published {number(published)}"
    if check.kind == "at_least":
        return mean >= check.bound, f"at least {number(check.bound)}"
    return mean <= check.bound, f"at most {number(check.bound)}"


def of_chance(chance: float) -> str:
    """What two numbers may differ by without meaning; nothing of what is calculated."""
    return f" (chance: {number(chance)})" if chance else ""


def words(cell: tuple[str, str]) -> str:
    return f"{cell[0]} ({cell[1]})"


def number(value: float) -> str:
    """Accuracies with two decimals; small costs with more."""
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
