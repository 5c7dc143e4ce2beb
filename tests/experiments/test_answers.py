"""Cells that were tested on the same videos."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.experiments.small import definition, write
from timesformer.experiments.answers import Answers, answers_of, num_independent
from timesformer.experiments.checks import verdicts
from timesformer.experiments.definition import read_experiment
from timesformer.experiments.facts import write_facts
from timesformer.experiments.plan import Experiment, by_place
from timesformer.experiments.result import result_of

VIDEOS = 400


def experiment_of(folder: Path, wrong: dict[str, int]) -> Experiment:
    """Whose runs are done: of VIDEOS the first so many of each row are wrong."""
    tree = definition(folder) | {"seeds": [0, 1]}
    tree["checks"] = [{"cell": ["divided", "motion"], "above": ["space only", "motion"]}]
    experiment = read_experiment(write(folder / "x.yaml", tree), runs=folder / "runs")
    for cell in experiment.cells:
        for run in cell.runs:
            predictions = (np.arange(VIDEOS) < wrong[cell.row]).astype(np.int64)
            run.folder.mkdir(parents=True)
            np.savez(
                run.folder / "predictions.npz",
                videos=np.array([f"{i}.mp4" for i in range(VIDEOS)]),
                labels=np.zeros(VIDEOS, dtype=np.int64),
                predictions=predictions,
            )
            accuracy = 100 * (1 - wrong[cell.row] / VIDEOS)
            write_facts(run.folder, {"top1_acc": accuracy, "num_videos": VIDEOS})
    return experiment


def test_the_same_videos_are_compared_on_each(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, {"divided": 200, "space only": 212})
    (paired,) = result_of(experiment)["checks"]
    assert paired["holds"], paired  # 3 % of 400 videos, all of them to one side
    assert "chance: 1.84, paired" in paired["says"]
    cells = by_place(result_of(experiment)["cells"])
    (unpaired,) = verdicts(experiment, cells)
    assert not unpaired["holds"]
    assert "chance: 7.06, unpaired" in unpaired["says"]


def test_predictions_that_are_missing_or_of_another_test_are_not_paired(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path, {"divided": 0, "space only": 0})
    divided, space = experiment.cells
    (divided.runs[1].folder / "predictions.npz").unlink()
    write_facts(space.runs[0].folder, {"top1_acc": 50.0, "num_videos": VIDEOS})
    assert answers_of(divided) is None
    assert answers_of(space) is None
    (check,) = result_of(experiment)["checks"]
    assert "unpaired" in check["says"]


def test_videos_shown_in_both_directions_count_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.yaml", definition(tmp_path))
    words = [["DATA.ARROW_OF_TIME", "True", "MODEL.NUM_CLASSES", "2"], []]
    both, plain = (read_experiment(path, runs=tmp_path, overrides=each).cells[0] for each in words)
    assert (num_independent(both, 126), num_independent(plain, 126)) == (63, 126)
    right, wrong = np.ones(126), np.zeros(126)
    errors = [
        Answers("", right, count).error_beside(Answers("", wrong, count)) for count in (63, 126)
    ]
    assert errors[0] == pytest.approx(math.sqrt(2) * errors[1])
