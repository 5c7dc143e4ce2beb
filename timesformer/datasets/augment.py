"""Pixel operations on uint8 clips, on the device that they are on.

torchvision does the arithmetic; which operation with how much of it is drawn by `auto_augment.py`.
C channels, T frames, H W pixels. An operation is the same for all frames: a clip of equal frames
stays one. Colours are changed by one function for the whole clip, whose statistics (the extremes
of AutoContrast, the histogram of Equalize, the mean of Contrast) are those of all frames together:
taken from each frame, they would make what stands still flicker whenever something else moves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as vision
from torch import Tensor
from torchvision.transforms import InterpolationMode

from timesformer.datasets.auto_augment import Drawn
from timesformer.datasets.batch import Batch
from timesformer.datasets.on_device import clip_rngs

# A picture (..., C, H, W), the amount, and the colour of what comes in from outside.
PixelOperation = Callable[[Tensor, float, Sequence[float]], Tensor]


def rotate(picture: Tensor, degrees: float, fill: Sequence[float]) -> Tensor:
    return vision.rotate(picture, degrees, interpolation=InterpolationMode.BILINEAR, fill=fill)


def affine(
    picture: Tensor,
    fill: Sequence[float],
    shift: tuple[float, float] = (0, 0),
    shear: tuple[float, float] = (0, 0),
) -> Tensor:
    """The pixel at (x, y) comes from (x, y) + shift + shear * (y, x), from the corner (0, 0)."""
    return vision.affine(
        picture,
        angle=0.0,
        translate=[-shift[0], -shift[1]],
        scale=1.0,
        shear=[math.degrees(math.atan(tangent)) for tangent in shear],
        interpolation=InterpolationMode.BILINEAR,
        fill=fill,
        center=[0.0, 0.0],
    )


def solarize(picture: Tensor, threshold: float, fill: Sequence[float]) -> Tensor:
    return picture if threshold > 255 else vision.solarize(picture, threshold)


def solarize_add(picture: Tensor, added: float, fill: Sequence[float]) -> Tensor:
    # At most 128 is added to at most 127; where the sum wraps around it is not taken.
    return torch.where(picture < 128, picture + int(added), picture)


def gaussian_blur(picture: Tensor, sigma: float, fill: Sequence[float]) -> Tensor:
    # Three sigmas hold all but a thousandth; the mirrored margin must be smaller than the frame.
    radius = min(math.ceil(3 * sigma), min(picture.shape[-2:]) - 1)
    return vision.gaussian_blur(picture, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])


# They see T pictures; those below see one picture of C x (T H) x W.
IN_SPACE: dict[str, PixelOperation] = {
    "Rotate": rotate,
    "ShearX": lambda picture, amount, fill: affine(picture, fill, shear=(amount, 0)),
    "ShearY": lambda picture, amount, fill: affine(picture, fill, shear=(0, amount)),
    "TranslateX": lambda picture, share, fill: affine(
        picture, fill, shift=(share * picture.shape[-1], 0)
    ),
    "TranslateY": lambda picture, share, fill: affine(
        picture, fill, shift=(0, share * picture.shape[-2])
    ),
    "Sharpness": lambda picture, factor, fill: vision.adjust_sharpness(picture, factor),
    "GaussianBlur": gaussian_blur,
}
IN_COLOUR: dict[str, PixelOperation] = {
    "AutoContrast": lambda picture, amount, fill: vision.autocontrast(picture),
    "Equalize": lambda picture, amount, fill: vision.equalize(picture),
    "Invert": lambda picture, amount, fill: vision.invert(picture),
    "Posterize": lambda picture, bits, fill: vision.posterize(picture, int(bits)),
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "Color": lambda picture, factor, fill: vision.adjust_saturation(picture, factor),
    "Contrast": lambda picture, factor, fill: vision.adjust_contrast(picture, factor),
    "Brightness": lambda picture, factor, fill: vision.adjust_brightness(picture, factor),
}
OPERATIONS = IN_SPACE | IN_COLOUR


def apply(clip: Tensor, drawn: Drawn, fill: Sequence[float]) -> Tensor:
    """uint8 (C, T, H, W) to the same; `fill` is the colour (C) of what comes in from outside."""
    operation = OPERATIONS[drawn.operation]
    if drawn.operation in IN_SPACE:
        return operation(clip.transpose(0, 1), drawn.amount, fill).transpose(0, 1)
    return operation(clip.flatten(1, 2), drawn.amount, fill).view_as(clip)


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation, each by a factor from 1 - strength (at least 0) to
    1 + strength, in random order."""

    strength: float

    def draw(self, rng: random.Random) -> list[Drawn]:
        """What one clip gets."""
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        names = rng.sample(("Brightness", "Contrast", "Color"), 3)
        return [Drawn(name, rng.uniform(low, high)) for name in names]


class Augment:
    """Operations on each clip of a training batch, drawn for it alone.

    Args:
        draw: what one clip gets; the `draw` of a `Policy` or a `ColorJitter`.
        fill: the colour (C), from 0 to 255, of what a shift or a turn brings in from outside.
    """

    def __init__(
        self, draw: Callable[[random.Random], list[Drawn]], *, fill: Sequence[float]
    ) -> None:
        self.draw = draw
        self.fill = list(fill)

    def __call__(self, batch: Batch) -> Batch:
        """The batch, its uint8 views (R, V, C, T, H, W) overwritten."""
        clips = [clip for views in batch.views for clip in views]
        for clip, rng in zip(clips, clip_rngs(batch, "augment"), strict=True):
            clip.copy_(self.of_clip(clip, rng))
        return batch

    def of_clip(self, clip: Tensor, rng: random.Random) -> Tensor:
        """uint8 (C, T, H, W) to the same."""
        for drawn in self.draw(rng):
            clip = apply(clip, drawn, self.fill)
        return clip
