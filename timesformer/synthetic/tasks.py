"""The tasks of MotionShapes: what the class of a clip is, and how the clips are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timesformer.synthetic import appearance, direction, order
from timesformer.synthetic.clip_file import ALONE, MOVING, write_clip
from timesformer.synthetic.shapes import Recipe, draw

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One of the data sets.

    Attributes:
        name: what its meta.json calls it.
        version: to be raised with every change to what a clip looks like: older sets are then
            refused, not reused.
        classes: their names.
        recipe: from a generator of random numbers and a label to a clip.
        encoding: of the videos, for libx264.
        num_clips: of each split, as it usually is.
    """

    name: str
    version: int
    classes: tuple[str, ...]
    recipe: Callable[[np.random.Generator, int], Recipe]
    encoding: dict[str, str]
    num_clips: dict[str, int]

    def label(self, index: int) -> int:
        """Of the clip `index` of any split: classes take turns."""
        return index % len(self.classes)

    def make_recipe(self, seed: int, split: str, index: int) -> Recipe:
        """The recipe of one clip: a pure function of its arguments."""
        rng = np.random.default_rng([seed, SPLITS.index(split), index])
        return self.recipe(rng, self.label(index))

    def write(self, path: Path, seed: int, split: str, index: int) -> None:
        """One clip as a file."""
        write_clip(path, draw(self.make_recipe(seed, split, index)), self.encoding)


TASKS = {
    "direction": Task(
        name="MotionShapes",
        version=1,
        classes=direction.CLASSES,
        recipe=direction.make_recipe,
        encoding=MOVING,
        num_clips={"train": 1600, "val": 200, "test": 400},
    ),
    "appearance": Task(
        name="MotionShapes appearance",
        version=1,
        classes=appearance.CLASSES,
        recipe=appearance.make_recipe,
        encoding=MOVING,
        num_clips={"train": 800, "val": 100, "test": 400},
    ),
    "order": Task(
        name="MotionShapes order",
        version=1,
        classes=order.CLASSES,
        recipe=order.make_recipe,
        encoding=ALONE,
        num_clips={"train": 1200, "val": 60, "test": 300},
    ),
}
