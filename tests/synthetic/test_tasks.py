"""What all tasks have in common: same seeds, same clips, whoever asks and whenever."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic.decoded import decode
from timesformer.synthetic.shapes import draw
from timesformer.synthetic.tasks import TASKS

every_task = pytest.mark.parametrize("task", TASKS)


@every_task
def test_the_same_seed_gives_the_same_frames_and_another_seed_others(task: str) -> None:
    make = TASKS[task].make_recipe
    first, again = (draw(make(3, "val", 5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in (make(4, "val", 5), make(3, "test", 5), make(3, "val", 5 + 12)):  # same class
        assert not np.array_equal(first, draw(other))


# Of the last training clip of the usual set. Where these change, the version of the task must, and
# what was trained on its clips is no longer comparable.
AS_PUBLISHED = {
    "direction": (1, 11.627401897136387, [58.75311418, 36.77596153], 163.11551974),
    "appearance": (1, 9.376846027276773, [24.02933619, 28.1173143], 244.32673524),
    "order": (1, 11.17700210922554, [36.8699238, 18.54377024], 137.10652581),
}


@every_task
def test_the_clips_of_a_version_stay_as_they_were_published(task: str) -> None:
    version, radius, centre, red = AS_PUBLISHED[task]
    recipe = TASKS[task].make_recipe(0, "train", TASKS[task].num_clips["train"] - 1)
    assert TASKS[task].version == version
    assert recipe.radius == pytest.approx(radius)
    np.testing.assert_allclose(recipe.centres[-1], centre, atol=1e-7)
    assert recipe.colours[0, 0] == pytest.approx(red)


@every_task
def test_classes_take_turns(task: str) -> None:
    num = len(TASKS[task].classes)
    labels = [TASKS[task].make_recipe(0, "test", index).label for index in range(2 * num)]
    assert labels == [*range(num), *range(num)]


def test_no_two_tasks_are_taken_for_one_another() -> None:
    for one, other in combinations(TASKS.values(), 2):
        assert one.name != other.name
        assert one.classes != other.classes


@every_task
def test_a_file_shows_what_was_drawn(task: str, tmp_path: Path) -> None:
    TASKS[task].write(tmp_path / "clip.mp4", 0, "train", 1)
    drawn = draw(TASKS[task].make_recipe(0, "train", 1))
    shown = decode(tmp_path / "clip.mp4")
    assert shown.shape == drawn.shape
    # Colours at half the resolution cost most of it, at the outline of a small shape.
    assert np.abs(shown.astype(float) - drawn).mean() < 8


@every_task
def test_a_shape_stands_out_from_its_background(task: str) -> None:
    for index in range(200):
        recipe = TASKS[task].make_recipe(0, "train", index)
        differences = np.abs(recipe.background[..., None, :] - np.unique(recipe.colours, axis=0))
        assert differences.max(axis=-1).min() > 4  # in one channel, anywhere
        assert recipe.background.min() >= 0
        assert recipe.background.max() <= 255
