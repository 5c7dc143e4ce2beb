"""Clips in which only the motion tells the class.

One shape of random form, colour, size and angle moves over a random static background, up, down,
left or right; the direction is the class. The shape starts anywhere on the torus with equal
probability, so that at every moment it is anywhere with equal probability, whatever the direction:
each single frame has exactly the same distribution in all four classes and says nothing about them.
A model that sees the frames of a clip without their order can tell the axis of the motion from the
places the shape has been to, but not which way along it: it stays at one half. (Compression bends
this a little: behind the shape the background is off by 2.1 grey levels of 255 on average, ahead of
it by 1.9.)
"""

from __future__ import annotations

import numpy as np

from timesformer.synthetic.shapes import SHAPES, Array, Recipe, some_background

CLASSES = ("up", "down", "left", "right")
NUM_FRAMES = 24
HEIGHT = 64
WIDTH = 72

_HEADINGS = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])  # of CLASSES
_SIZE = np.array([WIDTH, HEIGHT])


def make_recipe(rng: np.random.Generator, label: int) -> Recipe:
    """All that is random about a clip of the class `label`."""
    background = some_background(rng, HEIGHT, WIDTH)
    colour = rng.uniform(140, 255, 3)
    inverted = rng.random() < 0.5  # a dark shape on a light background
    colour = 255 - colour if inverted else colour
    return Recipe(
        label=label,
        shape=SHAPES[rng.integers(len(SHAPES))],
        radius=rng.uniform(9, 13),
        angle=rng.uniform(0, 2 * np.pi),
        colours=np.tile(colour, (NUM_FRAMES, 1)),
        background=255 - background if inverted else background,
        centres=trajectory(rng, label),
    )


def trajectory(rng: np.random.Generator, heading: int) -> Array:
    """``(T, 2)``: from anywhere, half to once around the torus at constant speed."""
    start = rng.random(2) * _SIZE
    travel = rng.uniform(0.5, 1.0) * _SIZE * _HEADINGS[heading]
    times = np.arange(NUM_FRAMES)[:, None] / NUM_FRAMES
    return (start + times * travel) % _SIZE
