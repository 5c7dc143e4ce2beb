"""Clips that only the order of far events tells apart: no short part of one knows the class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.synthetic.decoded import decode
from timesformer.synthetic.clip_file import write_clip
from timesformer.synthetic.order import BLANK, CLASSES, LIGHT, NUM_FRAMES, make_recipe
from timesformer.synthetic.shapes import Recipe, draw
from timesformer.synthetic.tasks import TASKS

TASK = TASKS["order"]
SHORT = BLANK + 1  # frames of the video that a clip covers


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    return [TASK.make_recipe(0, "train", index) for index in range(120)]


def lights(recipe: Recipe) -> str:
    """What shines in each frame: ``r``, ``g`` or ``b``, or ``.`` at rest; T characters."""
    at_rest = np.ptp(recipe.colours, axis=1) == 0
    brightest = recipe.colours.argmax(axis=1)
    return "".join(
        "." if rest else "rgb"[light] for rest, light in zip(at_rest, brightest, strict=True)
    )


def windows(recipe: Recipe, length: int) -> Counter[str]:
    """Every clip of `length` frames in a row that can be cut from the video, with its number."""
    shown = lights(recipe)
    return Counter(shown[start:][:length] for start in range(NUM_FRAMES - length + 1))


def test_a_light_is_twelve_frames_in_the_order_of_the_class(recipes: list[Recipe]) -> None:
    for recipe in recipes:
        shown = [run for run in lights(recipe).split(".") if run]
        names = CLASSES[recipe.label].split("-")
        assert shown == [name[0] * LIGHT for name in names]


def test_short_clips_are_the_same_whatever_the_class(recipes: list[Recipe]) -> None:
    """Not only alike on average: of every video the very same ones, each equally often."""
    (first, *others) = (windows(recipe, SHORT) for recipe in recipes)
    assert all(other == first for other in others)
    assert all(number == 1 for clip, number in first.items() if set(clip) != {"."})


def test_longer_clips_differ(recipes: list[Recipe]) -> None:
    """And those of two classes have none in common, once they show all three lights."""
    assert len({frozenset(windows(recipe, 64)) for recipe in recipes}) > 6
    whole = [set(windows(recipe, NUM_FRAMES)) for recipe in recipes[: len(CLASSES)]]
    assert not set.intersection(*whole)


def test_gaps_are_random_and_never_shorter_than_a_blank(recipes: list[Recipe]) -> None:
    rests = np.array([[len(run) for run in split_at_lights(recipe)] for recipe in recipes])
    assert rests.shape[1] == 4
    assert rests.min() == BLANK
    assert (rests.std(axis=0) > 3).all()


def split_at_lights(recipe: Recipe) -> list[str]:
    shown = lights(recipe)
    for name in "rgb":
        shown = shown.replace(name * LIGHT, "|")
    return shown.split("|")


def test_the_class_decides_the_order_and_nothing_else() -> None:
    for seed in range(20):
        of_each = [make_recipe(np.random.default_rng(seed), label) for label in range(6)]
        first = of_each[0]
        for other in of_each[1:]:
            assert (other.shape, other.radius, other.angle) == (
                first.shape,
                first.radius,
                first.angle,
            )
            np.testing.assert_array_equal(other.background, first.background)
            np.testing.assert_array_equal(other.centres, first.centres)
            assert sorted(map(tuple, other.colours)) == sorted(map(tuple, first.colours))
            at_rest = [shown == "." for shown in lights(first)]
            assert [shown == "." for shown in lights(other)] == at_rest


def test_nothing_moves(recipes: list[Recipe]) -> None:
    assert all((recipe.centres == recipe.centres[0]).all() for recipe in recipes)


@pytest.mark.parametrize("seed", range(3))
def test_a_coded_frame_does_not_know_its_neighbours_or_its_place(tmp_path: Path, seed: int) -> None:
    """Equal pictures are equal pixels, wherever in the video and whatever the class."""
    seen: dict[str, bytes] = {}
    for label in (0, 3, 5):
        recipe = make_recipe(np.random.default_rng(seed), label)
        write_clip(tmp_path / "clip.mp4", draw(recipe), TASK.encoding)
        for light, frame in zip(lights(recipe), decode(tmp_path / "clip.mp4"), strict=True):
            assert seen.setdefault(light, frame.tobytes()) == frame.tobytes()
    assert len(set(seen.values())) == 4


def test_sixteen_frames_over_the_video_show_every_light(recipes: list[Recipe]) -> None:
    seen_at = np.linspace(0, NUM_FRAMES - 1, 16).astype(int)
    for recipe in recipes:
        shown = [lights(recipe)[frame] for frame in seen_at if lights(recipe)[frame] != "."]
        order = list(dict.fromkeys(shown))
        assert order == [name[0] for name in CLASSES[recipe.label].split("-")]
