"""A shape on a background: what all tasks of MotionShapes draw.

Legend: `T` frames, `H W` pixels; places are ``(x, y)`` in pixels, y downwards. The frame is a
torus: what leaves at one edge enters at the opposite one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Frames = npt.NDArray[np.uint8]


# Signed distance to the outline of each shape, negative inside; the unit is the shape's radius.
def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 1


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.75) - 0.25


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.85


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x) * np.sqrt(0.75) + y / 2, -y) - 0.55


def _cross(x: Array, y: Array) -> Array:
    across = np.maximum(np.abs(x) - 1, np.abs(y) - 0.3)
    along = np.maximum(np.abs(x) - 0.3, np.abs(y) - 1)
    return np.minimum(across, along)


SHAPES: tuple[Callable[[Array, Array], Array], ...] = (_disc, _ring, _square, _triangle, _cross)
_REACH = 1.25  # no shape extends further from its centre, in radii

# Which of R, G and B shine.
RED, GREEN, BLUE, YELLOW = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that is random about one clip.

    Attributes:
        label: index into the classes of the task.
        shape: the signed distance function of the shape.
        radius: of the shape, in pixels.
        angle: of the shape, in radians.
        colours: RGB of the shape in each frame, float ``(T, 3)`` in [0, 255].
        background: RGB, float ``(H, W, 3)`` in [0, 255].
        centres: the place of the shape in each frame, float ``(T, 2)`` in ``[0, (W, H))``.
    """

    label: int
    shape: Callable[[Array, Array], Array]
    radius: float
    angle: float
    colours: Array
    background: Array
    centres: Array


def draw(recipe: Recipe) -> Frames:
    """The frames of the clip before compression: RGB ``(T, H, W, 3)``."""
    height, width = recipe.background.shape[:2]
    reach = int(_REACH * recipe.radius) + 2
    offsets = np.arange(-reach, reach + 1)
    nearest = np.rint(recipe.centres).astype(int)
    x, y = np.moveaxis((nearest - recipe.centres)[..., None] + offsets, 1, 0)  # each (T, patch)
    coverage = _coverage(recipe, x[:, None], y[:, :, None])[..., None]
    size = np.array([[width], [height]])
    columns, rows = np.moveaxis((nearest[..., None] + offsets) % size, 1, 0)
    times = np.arange(len(nearest))[:, None, None]
    rows, columns = rows[:, :, None], columns[:, None]

    frames = np.repeat(np.rint(recipe.background).astype(np.uint8)[None], len(nearest), axis=0)
    colours = recipe.colours[:, None, None]
    blend = (1 - coverage) * recipe.background[rows, columns] + coverage * colours
    frames[times, rows, columns] = np.rint(blend)  # indices that broadcast to (T, patch, patch)
    return frames


def _coverage(recipe: Recipe, x: Array, y: Array) -> Array:
    """How much of the pixel at ``(x, y)`` from the centre is shape: 0 to 1, with a soft edge."""
    cos, sin = np.cos(recipe.angle) / recipe.radius, np.sin(recipe.angle) / recipe.radius
    distance = recipe.radius * recipe.shape(cos * x - sin * y, sin * x + cos * y)
    return np.clip(0.5 - distance, 0, 1)


def texture(rng: np.random.Generator, height: int, width: int) -> Array:
    """A plane wave for each colour, of whole periods, so without a seam: ``(H, W, 3)``, [-1, 1]."""
    y, x = np.mgrid[:height, :width][..., None]
    periods_x, periods_y = rng.integers(-3, 4, (2, 3))
    turns = periods_x * x / width + periods_y * y / height + rng.random(3)
    return np.sin(2 * np.pi * turns)


def some_shade(rng: np.random.Generator, shining: tuple[int, int, int]) -> Array:
    """A colour of that hue, lighter or darker, stronger or paler: RGB ``(3,)`` in [0, 255]."""
    return np.where(shining, rng.uniform(180, 255, 3), rng.uniform(20, 90, 3))


def some_background(rng: np.random.Generator, height: int, width: int) -> Array:
    """A dark colour with a texture, float ``(H, W, 3)`` in [5, 105]."""
    return rng.uniform(20, 90, 3) + 15 * texture(rng, height, width)
