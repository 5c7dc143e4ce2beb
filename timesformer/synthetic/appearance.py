"""Clips in which every single frame tells the class, and the motion nothing.

The clips are made as those of the direction task, but the class is the hue of the shape: red,
green, blue or yellow. The direction in which it moves is random, and so are its form, size and
angle, how bright it is, and the background. Whoever sees one frame has seen what there is to know.
"""

from __future__ import annotations

import numpy as np

from timesformer.synthetic.direction import HEIGHT, NUM_FRAMES, WIDTH, trajectory
from timesformer.synthetic.shapes import (
    BLUE,
    GREEN,
    RED,
    SHAPES,
    YELLOW,
    Recipe,
    some_background,
    some_shade,
)

CLASSES = ("red", "green", "blue", "yellow")
_HUES = (RED, GREEN, BLUE, YELLOW)


def make_recipe(rng: np.random.Generator, label: int) -> Recipe:
    """All that is random about a clip of the class `label`."""
    colour = some_shade(rng, _HUES[label])
    return Recipe(
        label=label,
        shape=SHAPES[rng.integers(len(SHAPES))],
        radius=rng.uniform(9, 13),
        angle=rng.uniform(0, 2 * np.pi),
        colours=np.tile(colour, (NUM_FRAMES, 1)),
        background=some_background(rng, HEIGHT, WIDTH),
        centres=trajectory(rng, int(rng.integers(4))),
    )
