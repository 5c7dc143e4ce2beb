"""Resize, crop and flip clips of uint8 frames.

Legend: V clips, T frames, H W pixels of the source, C channels, S side of the crop.

Resizing is OpenCV's bilinear: half-pixel centres and no antialiasing, the geometry of
`torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` on which the published
numbers depend. Its fixed-point result is within one grey level of that float pipeline, of which
half a level is the rounding to uint8, and takes a tenth of the time (1.6 against 12-20 ms for eight
frames of 340x256).

The whole frame is resized even where a crop needs half of it: a crop begins between two pixels of
the source, which `cv2.resize` cannot do, and `cv2.warpAffine`, which can, takes longer for the crop
alone (3.8 ms for 224x224) than `cv2.resize` for the frame (2.5-3 ms).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from timesformer.errors import UserError

# uint8 (T, H, W, C) and a generator to a training clip, uint8 (C, T, S, S).
ClipTransform = Callable[[np.ndarray, random.Random], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class TrainTransform:
    """Random short side, crop and flip; the same ones for every frame of a clip.

    Args:
        jitter_scales: smallest and largest short side, in pixels.
        crop_size: side of the square crop, in pixels.
        flip: whether to mirror every other clip, left to right.
        inverse_uniform: draw the inverse of the short side uniformly, not the short side.
    """

    jitter_scales: tuple[int, int]
    crop_size: int
    flip: bool = True
    inverse_uniform: bool = False

    def __post_init__(self) -> None:
        if self.jitter_scales[0] > self.jitter_scales[1]:
            raise UserError(f"the scales to jitter between, {self.jitter_scales}, are not in order")
        _require_crop_fits(self.crop_size, self.jitter_scales[0])

    def __call__(self, frames: np.ndarray, rng: random.Random) -> torch.Tensor:
        """uint8 (T, H, W, C) to uint8 (C, T, S, S), contiguous. All randomness is from `rng`."""
        side = self._draw_short_side(rng)
        height, width = resized_shape(frames.shape[1], frames.shape[2], side)
        top = rng.randint(0, height - self.crop_size)
        left = rng.randint(0, width - self.crop_size)
        flip = self.flip and rng.random() < 0.5
        return resized_crops(frames, (height, width), [(top, left)], self.crop_size, flip=flip)[0]

    def _draw_short_side(self, rng: random.Random) -> int:
        low, high = self.jitter_scales
        if self.inverse_uniform:
            return round(1.0 / rng.uniform(1.0 / high, 1.0 / low))
        return round(rng.uniform(low, high))


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """A random part of the frame, brought to the crop's size; the same for every frame of a clip.

    Args:
        areas: smallest and largest share of the frame's area.
        aspects: smallest and largest width over height, drawn uniformly in their logarithm.
        crop_size: side of the square crop, in pixels.
        flip: whether to mirror every other clip, left to right.
    """

    areas: tuple[float, float]
    aspects: tuple[float, float]
    crop_size: int
    flip: bool = True

    def __call__(self, frames: np.ndarray, rng: random.Random) -> torch.Tensor:
        """uint8 (T, H, W, C) to uint8 (C, T, S, S), contiguous. All randomness is from `rng`."""
        top, left, height, width = self.draw_box(frames.shape[1], frames.shape[2], rng)
        flip = self.flip and rng.random() < 0.5
        box = frames[:, top : top + height, left : left + width]
        size = (self.crop_size, self.crop_size)
        return resized_crops(box, size, [(0, 0)], self.crop_size, flip=flip)[0]

    def draw_box(self, height: int, width: int, rng: random.Random) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a box in a frame; the rule is torchvision's."""
        for _ in range(10):
            area = rng.uniform(*self.areas) * height * width
            aspect = math.exp(rng.uniform(*map(math.log, self.aspects)))
            box = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < box[0] <= height and 0 < box[1] <= width:
                return rng.randint(0, height - box[0]), rng.randint(0, width - box[1]), *box
        # Nothing fits: the largest box in the centre whose aspect is allowed.
        box = (
            min(height, round(width / self.aspects[0])),
            min(width, round(height * self.aspects[1])),
        )
        return (height - box[0]) // 2, (width - box[1]) // 2, *box


@dataclass(frozen=True, kw_only=True)
class ViewTransform:
    """The deterministic spatial views of evaluation.

    Args:
        short_side: short side to resize to, in pixels.
        crop_size: side of the square crops, in pixels.
        num_crops: 1 for the centre; 3 for left, centre, right along the long side (top, centre,
            bottom where a video is taller than wide).
    """

    short_side: int
    crop_size: int
    num_crops: int

    def __post_init__(self) -> None:
        if self.num_crops not in (1, 3):
            raise UserError(f"{self.num_crops} spatial crops were asked for; possible are 1 and 3")
        _require_crop_fits(self.crop_size, self.short_side)

    def __call__(self, clips: np.ndarray) -> torch.Tensor:
        """uint8 (V, T, H, W, C) to uint8 (V * num_crops, C, T, S, S), contiguous.

        Clip major: all crops of the first clip come before those of the second.
        """
        height, width = resized_shape(clips.shape[2], clips.shape[3], self.short_side)
        corners = crop_offsets(height, width, self.crop_size, self.num_crops)
        views = [resized_crops(clip, (height, width), corners, self.crop_size) for clip in clips]
        return torch.cat(views)


def resized_shape(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) at which the shorter of the two is `short_side`; the longer is floored."""
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def resized_crops(
    frames: np.ndarray,
    size: tuple[int, int],
    corners: Sequence[tuple[int, int]],
    side: int,
    *,
    flip: bool = False,
) -> torch.Tensor:
    """Squares out of resized frames: uint8 (T, H, W, C) to uint8 (N, C, T, S, S), contiguous.

    Args:
        frames: the clip; a part of larger frames will do.
        size: (height, width) that each frame is resized to.
        corners: (top, left) of the N squares, in pixels of the resized frame.
        side: S, of the squares, in pixels.
        flip: mirror them, left to right.
    """
    views = np.empty((len(corners), frames.shape[3], len(frames), side, side), dtype=np.uint8)
    scratch = np.empty((*size, frames.shape[3]), dtype=np.uint8)  # one frame: it stays in the cache
    for t, frame in enumerate(frames):
        if frame.shape[:2] != size:
            frame = cv2.resize(frame, size[::-1], dst=scratch, interpolation=cv2.INTER_LINEAR)
        for view, (top, left) in zip(views, corners, strict=True):
            square = frame[top : top + side, left : left + side]
            # Contiguous, with the flip or by a copy: of rows with gaps a split takes twice as long.
            cv2.split(cv2.flip(square, 1) if flip else square.copy(), list(view[:, t]))
    return torch.from_numpy(views)


def crop_offsets(height: int, width: int, crop_size: int, num_crops: int) -> list[tuple[int, int]]:
    """(top, left) of one centre crop, or of three crops along the longer side."""
    top, left = math.ceil((height - crop_size) / 2), math.ceil((width - crop_size) / 2)
    if num_crops == 1:
        return [(top, left)]
    if height > width:
        return [(0, left), (top, left), (height - crop_size, left)]
    return [(top, 0), (top, left), (top, width - crop_size)]


def _require_crop_fits(crop_size: int, short_side: int) -> None:
    if crop_size > short_side:
        raise UserError(
            f"a crop of {crop_size} pixels does not fit a short side of {short_side}; "
            "lower the crop size or raise the scale"
        )
