"""Clips that every single frame tells apart, and their motion not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.synthetic.decoded import decode
from timesformer.synthetic.appearance import CLASSES
from timesformer.synthetic.tasks import TASKS

TASK = TASKS["appearance"]
SHINING = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}


def test_every_frame_shows_the_hue_of_the_class(tmp_path: Path) -> None:
    for index in range(8):
        recipe = TASK.make_recipe(0, "train", index)
        TASK.write(tmp_path / "clip.mp4", 0, "train", index)
        for frame in decode(tmp_path / "clip.mp4").astype(float):
            # Well within the shape: colours are coded at half the resolution.
            shape = np.abs(frame - recipe.colours[0]).max(axis=-1) < 40
            shining = frame[shape].mean(axis=0) > 135
            assert tuple(shining) == SHINING[CLASSES[recipe.label]]


@pytest.mark.parametrize("axis", [0, 1])
def test_the_motion_does_not_know_the_class(axis: int) -> None:
    """Of each class a quarter moves each way: to 4.5 standard errors of 200 clips."""
    ways = np.array([way_of(index, axis) for index in range(800)]).reshape(200, len(CLASSES))
    for way in (-1, 1):
        shares = (ways == way).mean(axis=0)
        assert np.abs(shares - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 200)


def way_of(index: int, axis: int) -> int:
    """-1, 0 or 1: the way a clip moves along the axis, on the torus."""
    centres = TASK.make_recipe(0, "train", index).centres[:, axis]
    return int(np.sign(np.median(np.diff(centres))))
