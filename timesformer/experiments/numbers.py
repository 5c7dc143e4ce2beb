"""Means over seeds, and how far apart two of them must be to differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from timesformer.report.statistics import wilson

SIGMAS = 2.0
"""Two means differ if they are further apart than so many standard errors of their difference."""


def deviation(values: Sequence[float]) -> float:
    """The standard deviation over seeds; 0 of a single one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def standard_error(values: Sequence[float], num_videos: int | None) -> float:
    """Of a mean of accuracies (%): what other seeds, and other test videos, would change.

    The second is the binomial one, of a share that is drawn a little to the middle (a right and a
    wrong video are added), because 0 of 10 is no certainty. All seeds see the same videos, so that
    more seeds make it no smaller. It is 0 where `num_videos` is None: of what is calculated.
    """
    if num_videos is None:
        return 0.0
    share = (statistics.fmean(values) / 100 * num_videos + 1) / (num_videos + 2)
    of_videos = 100 * math.sqrt(share * (1 - share) / num_videos)
    return math.hypot(seed_error(values), of_videos)


def interval(values: Sequence[float], num_videos: int | None) -> tuple[float, float] | None:
    """The 95 % interval (%) of what these networks get right of ever more test videos; Wilson's.

    None where `num_videos` is: of what is calculated.
    """
    if num_videos is None:
        return None
    low, high = wilson(statistics.fmean(values) / 100 * num_videos, num_videos)
    return 100 * low, 100 * high


def seed_error(values: Sequence[float]) -> float:
    """The part of the standard error that other seeds would change; 0 of a single one."""
    return deviation(values) / math.sqrt(len(values))


def noise(*cells: Mapping[str, Any]) -> float:
    """How far apart the means of two cells may be by chance."""
    return SIGMAS * math.hypot(*(cell["standard_error"] for cell in cells))
