"""A test as the released code runs it: the video is decoded for every view, each scored alone.

V views, C channels, T frames, H W pixels, S side of the crop, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks import released
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.sampling import clip_span
from timesformer.datasets.transforms import crop_offsets, resized_crops, resized_shape

PLACES = range(3)
TARGET_FPS = 30.0

Arithmetic = Callable[[Tensor, int, int], Tensor]
"""From frames uint8 (T, H, W, C), S and a place to the normalised view, float (C, T, S, S)."""


@dataclass(frozen=True)
class Clip:
    """The first clip of a video; `span` counts source frames."""

    path: str
    span: float
    num_frames: int

    @classmethod
    def of(cls, path: str, num_frames: int, rate: int) -> Clip:
        with VideoReader(path) as reader:
            return cls(path, clip_span(num_frames, rate, reader.fps, TARGET_FPS), num_frames)

    def decoded(self) -> Tensor:
        """uint8 (T, H, W, C), decoded and converted by one thread."""
        return released.read_clip(self.path, 0.0, self.span, self.num_frames, threads=1)


def our_view(frames: Tensor, side: int, place: int) -> Tensor:
    """Resized as uint8, and cropped, before it is a float."""
    size = resized_shape(*frames.shape[1:3], side)
    corner = crop_offsets(*size, side, len(PLACES))[place]
    view = resized_crops(frames.numpy(), size, [corner], side)[0]  # (C, T, S, S)
    return (view.float() / 255 - released.MEAN) / released.STD


RELEASED_ARITHMETIC: Arithmetic = released.test_view
OUR_ARITHMETIC: Arithmetic = our_view


@torch.inference_mode()
def scores_by_view(
    network: nn.Module, clips: Sequence[Clip], side: int, arithmetic: Arithmetic
) -> Tensor:
    """(n, K): of each video the sum of its views' logits."""
    scores = []
    for clip in clips:
        views = (arithmetic(clip.decoded(), side, place) for place in PLACES)
        scores.append(sum(network(view[None])[0] for view in views))
    return torch.stack(scores)
