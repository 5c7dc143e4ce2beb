"""Long clips in which only the order of three events, far apart, tells the class.

A grey shape stands before a background; three times it lights up: once red, once green, once blue.
The class is the order, one of six. Nothing else changes, and every frame is coded from itself alone
(`clip_file.ALONE`), so that equal pictures are equal wherever they stand: a clip that is cut from
the video shows its own lights, and no trace of where it was or of what came before it.

**A short clip knows nothing.** Between two lights lie `BLANK` frames of rest or more: who sees no
more than ``BLANK + 1`` frames in a row sees one light at most. The video begins and ends with as
many, so that of all the short clips that can be cut from it, each light stands at each place in
exactly one. Short clips of a video are then the same ones, each equally often, whatever the order.
So what a network makes of them has the same mean in every class, and to average over more of them
brings no class forward.

**A longer clip knows something.** Two lights of which one is seen before the other rule out half of
the orders, three leave one.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt

from timesformer.synthetic.shapes import (
    BLUE,
    GREEN,
    RED,
    SHAPES,
    Array,
    Recipe,
    some_background,
    some_shade,
)

_NAMES = ("red", "green", "blue")
_ORDERS = tuple(permutations(range(3)))
CLASSES = tuple("-".join(_NAMES[light] for light in order) for order in _ORDERS)
NUM_FRAMES = 128
LIGHT = 12  # frames that a light lasts
BLANK = 16  # frames of rest before, between and after the lights, at the least
HEIGHT = 36
WIDTH = 40

_SIZE = np.array([WIDTH, HEIGHT])
_SPARE = NUM_FRAMES - 3 * LIGHT - 4 * BLANK  # frames of rest that lie anywhere


def make_recipe(rng: np.random.Generator, label: int) -> Recipe:
    """All that is random about a clip of the class `label`."""
    grey = np.full(3, rng.uniform(110, 160))
    lights = np.array([some_shade(rng, hue) for hue in (RED, GREEN, BLUE)])
    return Recipe(
        label=label,
        shape=SHAPES[rng.integers(len(SHAPES))],
        radius=rng.uniform(10, 14),
        angle=rng.uniform(0, 2 * np.pi),
        colours=_colours(grey, lights[list(_ORDERS[label])], _starts(rng)),
        background=some_background(rng, HEIGHT, WIDTH),
        centres=np.tile(rng.random(2) * _SIZE, (NUM_FRAMES, 1)),
    )


def _starts(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """The first frames of the lights, ``(3,)``, whatever lights up."""
    spare_before = np.sort(rng.integers(0, _SPARE + 1, 3))
    return BLANK + spare_before + np.arange(3) * (LIGHT + BLANK)


def _colours(grey: Array, lights: Array, starts: npt.NDArray[np.int64]) -> Array:
    """Of the shape in each frame, ``(T, 3)``: `lights` from `starts` on, `grey` at rest."""
    colours = np.tile(grey, (NUM_FRAMES, 1))
    for light, start in zip(lights, starts, strict=True):
        colours[start : start + LIGHT] = light
    return colours
