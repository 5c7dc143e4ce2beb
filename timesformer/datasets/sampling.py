"""Which source frames make a clip: index arithmetic only, no files, no global randomness.

Three ways to choose T frames of a video, each with a random form for training and fixed views for
evaluation:

`Strided`    a clip of fixed duration, its frames evenly spaced (Kinetics, as released)
`Segmented`  the whole video in T segments, a frame of each (Something-Something, as released)
`Uniform`    the whole video, evenly spaced, the same frames every time

A strided clip *spans* more source frames than it keeps, and the released code cut it out of the
video by time stamp before it picked frames. The functions here return the frames that procedure
picks.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Timeline:
    """What choosing frames needs to know of a video.

    Attributes:
        num_frames: its frames.
        fps: frames per second.
        ticks_per_frame: time stamp units per frame, `VideoReader.ticks_per_frame`. None stands for
            a video whose header states no duration, and for frames that are not a video.
    """

    num_frames: int
    fps: float
    ticks_per_frame: float | None = None


class FrameSampling(ABC):
    """How the frames of a clip are chosen. All indices lie in ``[0, video.num_frames)``."""

    @abstractmethod
    def random_clip(self, video: Timeline, rng: random.Random) -> list[int]:
        """The frames of a training clip."""

    @abstractmethod
    def views(self, video: Timeline, num_views: int) -> list[list[int]]:
        """The frames of each of `num_views` fixed clips, in order."""

    @abstractmethod
    def middle(self, video: Timeline) -> list[int]:
        """The frames of the one clip that stands for the video in validation."""


@dataclass(frozen=True, kw_only=True)
class Strided(FrameSampling):
    """`num_frames` frames, `sampling_rate` apart at `target_fps` frames per second.

    `spread` puts the first view at the start of the video and the last at its end, and a single one
    in the middle. Without it views start as in the released code: see `view_starts`.
    """

    num_frames: int
    sampling_rate: int
    target_fps: float
    spread: bool = False

    def random_clip(self, video: Timeline, rng: random.Random) -> list[int]:
        return self._clip(video, random_start(video.num_frames, self._span(video), rng))

    def views(self, video: Timeline, num_views: int) -> list[list[int]]:
        place = spread_starts if self.spread else view_starts
        starts = place(video.num_frames, self._span(video), num_views)
        return [self._clip(video, start) for start in starts]

    def middle(self, video: Timeline) -> list[int]:
        return self._clip(video, spread_starts(video.num_frames, self._span(video), 1)[0])

    def _span(self, video: Timeline) -> float:
        return clip_span(self.num_frames, self.sampling_rate, video.fps, self.target_fps)

    def _clip(self, video: Timeline, start: float) -> list[int]:
        return clip_indices(
            start, self._span(video), self.num_frames, video.num_frames, video.ticks_per_frame
        )


@dataclass(frozen=True, kw_only=True)
class Segmented(FrameSampling):
    """A frame of each of `num_frames` equal segments: a random one, or those at fixed places."""

    num_frames: int

    def random_clip(self, video: Timeline, rng: random.Random) -> list[int]:
        return [rng.randint(*segment) for segment in segments(video.num_frames, self.num_frames)]

    def views(self, video: Timeline, num_views: int) -> list[list[int]]:
        ends = segments(video.num_frames, self.num_frames)
        return [
            [first + (last - first) * (2 * view + 1) // (2 * num_views) for first, last in ends]
            for view in range(num_views)
        ]

    def middle(self, video: Timeline) -> list[int]:
        return self.views(video, 1)[0]


@dataclass(frozen=True, kw_only=True)
class Uniform(FrameSampling):
    """`num_frames` frames at even distances over the whole video, nothing random.

    Several views are one set of ``num_views * num_frames`` such frames, dealt in turn.
    """

    num_frames: int

    def random_clip(self, video: Timeline, rng: random.Random) -> list[int]:
        return self.middle(video)

    def views(self, video: Timeline, num_views: int) -> list[list[int]]:
        indices = uniform_indices(video.num_frames, num_views * self.num_frames)
        return [indices[view::num_views] for view in range(num_views)]

    def middle(self, video: Timeline) -> list[int]:
        return uniform_indices(video.num_frames, self.num_frames)


def clip_span(num_frames: int, sampling_rate: int, fps: float, target_fps: float) -> float:
    """Source frames that a clip covers: `num_frames * sampling_rate` frames at `target_fps`."""
    return num_frames * sampling_rate * fps / target_fps


def view_starts(video_frames: int, span: float, num_views: int) -> list[float]:
    """Starts, in source frames, of `num_views` evenly spread test clips.

    View k of n starts at `delta * k / n`, where `delta` is the slack `video_frames - span`: the
    published protocol, in which a single view is the first clip and no view reaches the end.
    """
    return [_slack(video_frames, span) * view / num_views for view in range(num_views)]


def spread_starts(video_frames: int, span: float, num_views: int) -> list[float]:
    """Starts of `num_views` clips of which the first begins and the last ends with the video.

    A single one is in the middle.
    """
    slack = _slack(video_frames, span)
    if num_views == 1:
        return [slack / 2]
    return [slack * view / (num_views - 1) for view in range(num_views)]


def segments(video_frames: int, num_segments: int) -> list[tuple[int, int]]:
    """First and last frame of each of `num_segments` equal parts, which share their borders.

    As in the released code, whose borders are ``round(i * (video_frames - 1) / num_segments)``.
    """
    borders = [round((video_frames - 1) / num_segments * i) for i in range(num_segments + 1)]
    return list(pairwise(borders))


def uniform_indices(video_frames: int, count: int) -> list[int]:
    """The middle frame of each of `count` equal parts of the video."""
    return [(2 * part + 1) * video_frames // (2 * count) for part in range(count)]


def random_start(video_frames: int, span: float, rng: random.Random) -> float:
    """Start, in source frames, of a training clip: uniform over every start that fits."""
    return rng.uniform(0.0, _slack(video_frames, span))


def clip_indices(
    start: float,
    span: float,
    num_frames: int,
    video_frames: int,
    ticks_per_frame: float | None,
) -> list[int]:
    """Indices of the `num_frames` frames of the clip that covers `[start, start + span)`.

    Args:
        start: first moment of the clip, in source frames (fractions allowed).
        span: length of the clip in source frames, see `clip_span`.
        num_frames: how many indices to return.
        video_frames: frames in the video; indices past the last one become the last one.
        ticks_per_frame: see `Timeline`.
    """
    first = start if ticks_per_frame is None else first_frame(start, ticks_per_frame)
    positions = _linspace(first, first + span - 1, num_frames)
    return [int(index) for index in np.clip(positions, 0, video_frames - 1)]


def first_frame(start: float, ticks_per_frame: float) -> int:
    """The first frame whose time stamp is not before `start`, given in frames.

    The released code floors `start` to whole ticks. With many ticks to a frame (mp4) this rounds
    `start` up; with one tick to a frame (avi) it rounds down.
    """
    return math.ceil(int(start * ticks_per_frame) / ticks_per_frame)


def _slack(video_frames: int, span: float) -> float:
    return max(video_frames - span, 0.0)


def _linspace(first: float, last: float, count: int) -> np.ndarray:
    """`torch.linspace` as it is without vector instructions: float32, each half from its own end.

    About one clip shape in fifty (8x1 at 12.5 fps, 64x8 at 30 fps) has a position at or next to a
    whole number, where float64 lands on the other side and picks the neighbouring frame. (With
    vector instructions the last bit is another: of a thousand clips of 64 or 96 frames, one frame.)
    """
    start, end = np.float32(first), np.float32(last)
    if count == 1:
        return np.array([start])
    step = (end - start) / np.float32(count - 1)
    index = np.arange(count, dtype=np.float32)
    return np.where(index < count // 2, start + step * index, end - step * index[::-1])
