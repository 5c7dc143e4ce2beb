"""Which source frames make a clip: index arithmetic only, no files, no global randomness.

A clip *spans* more source frames than it keeps, and the released code cut it out of the video by
time stamp before it picked frames. The functions here return the frames that procedure picks.
"""

from __future__ import annotations

import math
import random

import numpy as np


def clip_span(num_frames: int, sampling_rate: int, fps: float, target_fps: float) -> float:
    """Source frames that a clip covers: `num_frames * sampling_rate` frames at `target_fps`."""
    return num_frames * sampling_rate * fps / target_fps


def view_starts(video_frames: int, span: float, num_views: int) -> list[float]:
    """Starts, in source frames, of `num_views` evenly spread test clips.

    View k of n starts at `delta * k / n`, where `delta` is the slack `video_frames - span`: the
    published protocol, in which a single view is the first clip and no view reaches the end.
    """
    return [_slack(video_frames, span) * view / num_views for view in range(num_views)]


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
        ticks_per_frame: time stamp units per frame, `VideoReader.ticks_per_frame`. None stands for
            a video whose header states no duration.
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
    """`torch.linspace` to the bit: float32, each half counted from its own end.

    About one clip shape in fifty (8x1 at 12.5 fps, 64x8 at 30 fps) has a position at or next to a
    whole number, where float64 lands on the other side and picks the neighbouring frame.
    """
    start, end = np.float32(first), np.float32(last)
    if count == 1:
        return np.array([start])
    step = (end - start) / np.float32(count - 1)
    index = np.arange(count, dtype=np.float32)
    return np.where(index < count // 2, start + step * index, end - step * index[::-1])
