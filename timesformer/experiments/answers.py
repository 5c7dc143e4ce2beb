"""Which test videos a cell gets right: cells that were tested on the same are compared on each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from timesformer.experiments.facts import read_facts
from timesformer.experiments.plan import Cell, Run

Floats = npt.NDArray[np.float64]
LARGEST_GAP = 0.01  # of an accuracy, %, between what a run noted and what its predictions say


@dataclass(frozen=True, eq=False)
class Answers:
    """What the runs of a cell say of n test videos.

    Attributes:
        videos: a digest of their names and labels, in order.
        right: float64 (n,), the share of the seeds that gets each right.
        num_independent: of the videos; see `num_independent`.
    """

    videos: str
    right: Floats
    num_independent: int

    def error_beside(self, others: Answers) -> float:
        """The standard error (%) of the difference of both means, of the same videos, as these are.

        As in `standard_error`, two videos are added that differ, one to each side: ten that agree
        are no certainty that all do.
        """
        differences = self.right - others.right
        total = len(differences) + 2
        variance = (np.square(differences).sum() + 2) / total - (differences.sum() / total) ** 2
        return 100 * float(np.sqrt(variance / self.num_independent))


def num_independent(cell: Cell, num_videos: int) -> int:
    """Half of them where each counts twice, forward and backward."""
    return num_videos // 2 if cell.resolved.DATA.ARROW_OF_TIME else num_videos


def answers_of(cell: Cell) -> Answers | None:
    """None where they are not to be had of every run, whole and of the same videos."""
    if cell.measure != "top1_acc":
        return None
    runs = [predicted(run) for run in cell.runs]
    videos = {digest(arrays) for arrays in runs if arrays}
    if not runs or not all(runs) or len(videos) != 1:
        return None
    right = np.mean([arrays["predictions"] == arrays["labels"] for arrays in runs if arrays], 0)
    return Answers(videos.pop(), right, num_independent(cell, len(right)))


def predicted(run: Run) -> Mapping[str, npt.NDArray[Any]] | None:
    """The arrays of its test, where they are there and those of the accuracy that was noted."""
    from timesformer.report.results import read_arrays  # torch, which a comparison needs not

    file = run.folder / "predictions.npz"
    if not file.is_file():
        return None
    arrays = read_arrays(file)
    whole = {"videos", "labels", "predictions"} <= arrays.keys()
    if not whole or (arrays["predictions"] < 0).any():  # a video that could not be read
        return None
    accuracy = 100 * np.mean(arrays["predictions"] == arrays["labels"])
    gap = abs(accuracy - read_facts(run.folder).get("top1_acc", np.inf))
    return arrays if gap <= LARGEST_GAP else None


def digest(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    named = [arrays["videos"].tolist(), arrays["labels"].tolist()]
    return hashlib.sha256(repr(named).encode()).hexdigest()
