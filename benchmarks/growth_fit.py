"""Where the time goes as clips grow: a part for each token, a part for each pair that attends."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

TERMS = ("ms_per_token", "ms_per_pair", "ms")


def fits(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The terms for every scheme and task that was measured, and how far off they are.

    Errors are shares of the measured milliseconds, which are what the squares are taken of, too:
    a short clip counts as much as a long one.
    """
    names = dict.fromkeys((row["scheme"], row["task"]) for row in rows)
    groups = {
        f"{scheme}, {task}": [
            row
            for row in rows
            if (row["scheme"], row["task"]) == (scheme, task) and row["ms"] is not None
        ]
        for scheme, task in names
    }
    return {name: fit(group) for name, group in groups.items() if len(group) >= len(TERMS)}


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    sizes = np.array([[row["tokens"], row["pairs"], 1.0] for row in rows])
    milliseconds = np.array([row["ms"] for row in rows])
    shares = sizes / milliseconds[:, None]  # whose sum, weighted, should be 1 in every row
    terms = least_squares(shares)
    errors = np.abs(shares @ terms - 1)
    return {
        **dict(zip(TERMS, terms.tolist(), strict=True)),
        "mean_error": statistics.mean(errors.tolist()),
        "largest_error": float(errors.max()),
    }


def least_squares(shares: np.ndarray) -> np.ndarray:
    """The best terms none of which is below 0: one that would be is left out."""
    used = list(range(shares.shape[1]))
    while True:
        scale = shares[:, used].max(axis=0)  # terms differ by many orders of magnitude
        found, *_ = np.linalg.lstsq(shares[:, used] / scale, np.ones(len(shares)), rcond=None)
        found = found / scale
        if found.min() >= 0:
            break
        del used[int(found.argmin())]
    terms = np.zeros(shares.shape[1])
    terms[used] = found
    return terms
