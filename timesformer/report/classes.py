"""The classes of a test, one by one and against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timesformer.report.results import TestedRun
from timesformer.report.statistics import Ints, confused_pairs, wilson

MOST_PAIRS = 30


@dataclass(frozen=True)
class ClassRow:
    """A class with test videos; shares, and the class that it was most often taken for."""

    name: str
    videos: int
    right: int
    top1: float
    low: float
    high: float
    top5: float
    taken_for: str
    times: int


@dataclass(frozen=True)
class PairRow:
    """Two classes: how often videos of one were taken for the other."""

    name: str
    taken_for: str
    times: int
    videos: int


def class_rows(run: TestedRun, matrix: Ints) -> list[ClassRow]:
    """Of the classes with test videos, the hardest first."""
    size = run.num_classes
    videos = np.bincount(run.labels, minlength=size)
    right, top5 = (np.bincount(run.labels[run.ranks < k], minlength=size) for k in (1, 5))
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows = []
    for label in np.flatnonzero(videos):
        number, other = int(videos[label]), int(wrong[label].argmax())
        low, high = wilson(int(right[label]), number)
        times = int(wrong[label, other])
        rows.append(
            ClassRow(
                name=run.class_names[label],
                videos=number,
                right=int(right[label]),
                top1=float(right[label] / number),
                low=low,
                high=high,
                top5=float(top5[label] / number),
                taken_for=run.class_names[other] if times else "",
                times=times,
            )
        )
    return sorted(rows, key=lambda row: (row.top1, -row.videos))


def pair_rows(run: TestedRun, matrix: Ints) -> list[PairRow]:
    names, sizes = run.class_names, matrix.sum(axis=1)
    return [
        PairRow(names[label], names[other], int(matrix[label, other]), int(sizes[label]))
        for label, other in confused_pairs(matrix, MOST_PAIRS)
    ]


def most_confused(pairs: list[tuple[int, int]], most: int) -> list[int]:
    """Classes of the most frequent pairs, each pair side by side; at most `most`."""
    chosen: dict[int, None] = {}
    for pair in pairs:
        if len(chosen.keys() | set(pair)) > most:
            break
        chosen.update(dict.fromkeys(pair))
    return list(chosen)
