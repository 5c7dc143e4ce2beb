"""Clips that only their motion tells apart: no single frame knows the class."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic.decoded import decode
from timesformer.synthetic.direction import CLASSES, HEIGHT, WIDTH
from timesformer.synthetic.shapes import Recipe
from timesformer.synthetic.tasks import TASKS

TASK = TASKS["direction"]
SIZE = np.array([WIDTH, HEIGHT])
HEADINGS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}


@pytest.fixture(scope="module")
def recipes() -> list[list[Recipe]]:
    """Of each class the first 200."""
    every = [TASK.make_recipe(0, "train", index) for index in range(800)]
    return [every[label :: len(CLASSES)] for label in range(len(CLASSES))]


def on_the_torus(differences: np.ndarray) -> np.ndarray:
    """Differences of places, the short way round: (..., 2) in [-SIZE / 2, SIZE / 2)."""
    return (differences + SIZE / 2) % SIZE - SIZE / 2


@pytest.mark.parametrize("frame", [0, 11, 23])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_place_in_a_single_frame_says_nothing(
    recipes: list[list[Recipe]], frame: int, axis: int
) -> None:
    grid = np.linspace(0, SIZE[axis], 50)
    for of_class in recipes:
        places = np.sort([recipe.centres[frame, axis] for recipe in of_class])
        share_below = np.searchsorted(places, grid) / len(places)
        # Kolmogorov-Smirnov against the uniform distribution: exceeded once in 10,000 by chance.
        assert np.abs(share_below - grid / SIZE[axis]).max() < 2.23 / np.sqrt(len(places))


def test_the_looks_of_a_single_frame_say_nothing(recipes: list[list[Recipe]]) -> None:
    """What else is random does not know the class: equal means, to 4.5 standard errors."""
    looks = np.array(
        [
            [(r.radius, r.angle, *r.colours[0], r.background.mean()) for r in of_class]
            for of_class in recipes
        ]
    )
    means, errors = looks.mean(axis=1), looks.std(axis=1) / np.sqrt(looks.shape[1])
    assert (np.abs(means - means.mean(axis=0)) < 4.5 * errors).all()


def test_two_frames_tell_the_direction_even_when_only_8_of_24_are_seen(
    recipes: list[list[Recipe]],
) -> None:
    for name, of_class in zip(CLASSES, recipes, strict=True):
        heading = np.array(HEADINGS[name])
        for recipe in of_class:
            steps = on_the_torus(np.diff(recipe.centres[::3], axis=0)) / SIZE
            along = steps @ heading
            np.testing.assert_allclose(steps, along[:, None] * heading, atol=1e-12)
            assert along.min() > 0.06
            assert along.max() < 0.13  # far from one half, where forward and back look the same


def test_the_decoded_video_shows_the_motion(tmp_path: Path) -> None:
    """The place of the shape, found in the compressed pixels, moves as the recipe says."""
    for index in range(8):
        recipe = TASK.make_recipe(0, "train", index)
        TASK.write(tmp_path / "clip.mp4", 0, "train", index)
        frames = decode(tmp_path / "clip.mp4").astype(float)
        shape = np.abs(frames - recipe.background).max(axis=-1) > 40
        for mask, centre in zip(shape, recipe.centres, strict=True):
            y, x = np.nonzero(mask)
            offsets = on_the_torus(np.stack([x, y], axis=1) - centre)
            assert np.abs(offsets).max() < 1.25 * recipe.radius + 2  # no trace anywhere else
            assert np.abs(offsets.mean(axis=0)).max() < 2


def test_a_shape_stands_out_from_its_background(recipes: list[list[Recipe]]) -> None:
    for recipe in chain(*recipes):
        assert np.abs(recipe.background - recipe.colours[0]).min() > 30
        assert recipe.background.min() >= 0
        assert recipe.background.max() <= 255
