"""Whether what is claimed holds: a sentence each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from timesformer.experiments.answers import Answers
from timesformer.experiments.numbers import SIGMAS, noise, seed_error
from timesformer.experiments.plan import Check, Experiment

Place = tuple[str, str]
Cells = Mapping[Place, Mapping[str, Any]]
AllAnswers = Mapping[Place, Answers]


def verdicts(
    experiment: Experiment, cells: Cells, answers: AllAnswers | None = None
) -> list[dict[str, Any]]:
    """``{"holds", "says"}`` of each check, in the order of the file.

    Args:
        cells: by row and column; those whose runs failed are missing.
        answers: likewise, where they are known.
    """
    return [verdict(check, experiment, cells, answers or {}) for check in experiment.checks]


def verdict(
    check: Check, experiment: Experiment, cells: Cells, answers: AllAnswers
) -> dict[str, Any]:
    other = check.bound if isinstance(check.bound, tuple) else None
    if missing := [cell for cell in (check.cell, other) if cell and cell not in cells]:
        return {"holds": False, "says": f"{words(missing[0])} has no result"}
    holds, says = compared(check, experiment, cells, answers)
    mean = number(cells[check.cell]["mean"])
    return {"holds": holds, "says": f"{words(check.cell)}: {mean}, to be {says}"}


def compared(
    check: Check, experiment: Experiment, cells: Cells, answers: AllAnswers
) -> tuple[bool, str]:
    """Whether the check holds, and what it asks for."""
    cell = cells[check.cell]
    mean = cell["mean"]
    if isinstance(check.bound, tuple):
        other = cells[check.bound]
        chance, how = chance_between(check.cell, check.bound, cells, answers)
        beside = f"{words(check.bound)}, {number(other['mean'])}{of_chance(chance, how)}"
        if check.kind == "not_below":
            return mean >= other["mean"] - chance, f"not below {beside}"
        by = f" by {number(check.by)} or more" if check.by else ""
        difference = mean - other["mean"]
        return difference > chance and difference >= check.by, f"above {beside}{by}"
    if check.kind == "near_published":
        row, column = check.cell
        published = experiment.published[column][row]
        near = abs(mean / published - 1) <= check.bound
        return near, f"within {100 * check.bound:g} % of the published {number(published)}"
    if check.kind == "at_least":
        return mean >= check.bound, f"at least {number(check.bound)}"
    return mean <= check.bound, f"at most {number(check.bound)}"


def chance_between(
    place: Place, other: Place, cells: Cells, answers: AllAnswers
) -> tuple[float, str]:
    """How far apart two means may be by chance; and whether that is paired, of the same videos."""
    pair = cells[place], cells[other]
    ours, others = answers.get(place), answers.get(other)
    if ours is None or others is None or ours.videos != others.videos:
        return noise(*pair), "unpaired"
    seeds = [seed_error(cell["values"]) for cell in pair]
    return SIGMAS * math.hypot(*seeds, ours.error_beside(others)), "paired"


def of_chance(chance: float, how: str = "") -> str:
    """What two numbers may differ by without meaning; nothing of what is calculated."""
    return f" (chance: {', '.join(filter(None, [number(chance), how]))})" if chance else ""


def words(cell: tuple[str, str]) -> str:
    return f"{cell[0]} ({cell[1]})"


def number(value: float) -> str:
    """Accuracies with two decimals; small costs with more."""
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
