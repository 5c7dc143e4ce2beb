"""Frame indices against tables worked out by hand from the released protocol."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from timesformer.datasets.sampling import (
    Segmented,
    Strided,
    Timeline,
    Uniform,
    clip_indices,
    clip_span,
    first_frame,
    random_start,
    segments,
    spread_starts,
    uniform_indices,
    view_starts,
)


@pytest.mark.parametrize(
    ("num_frames", "rate", "fps", "span"),
    [(8, 32, 30.0, 256.0), (16, 4, 15.0, 32.0), (96, 4, 60.0, 768.0), (16, 4, 25.0, 53 + 1 / 3)],
)
def test_a_clip_spans_its_time_in_source_frames(
    num_frames: int, rate: int, fps: float, span: float
) -> None:
    assert clip_span(num_frames, rate, fps, target_fps=30) == pytest.approx(span)


@pytest.mark.parametrize(
    ("video_frames", "num_views", "starts"),
    [
        (300, 1, [0.0]),
        (300, 2, [0.0, 22.0]),
        (300, 4, [0.0, 11.0, 22.0, 33.0]),
        (256, 3, [0.0, 0.0, 0.0]),
        (10, 2, [0.0, 0.0]),
    ],
)
def test_views_start_evenly_and_never_at_the_end(
    video_frames: int, num_views: int, starts: list[float]
) -> None:
    assert view_starts(video_frames, 256.0, num_views) == pytest.approx(starts)


def test_random_starts_fill_the_slack_and_follow_their_generator() -> None:
    starts = [random_start(300, 256.0, random.Random(seed)) for seed in range(200)]
    assert 0 <= min(starts) < 2
    assert 42 < max(starts) <= 44
    assert starts[7] == random_start(300, 256.0, random.Random(7))
    assert random_start(100, 256.0, random.Random(0)) == 0


@pytest.mark.parametrize(
    ("start", "ticks_per_frame", "frame"),
    [
        (0.0, 512.0, 0),
        (23.5, 512.0, 24),  # many ticks to a frame: up to the next frame
        (88.03, 1.0, 88),  # one tick to a frame: down
        (23.0005, 512.0, 23),  # less than a tick past a frame
        (5.0, 1001.0, 5),
    ],
)
def test_first_frame_is_the_first_not_before_the_floored_tick(
    start: float, ticks_per_frame: float, frame: int
) -> None:
    assert first_frame(start, ticks_per_frame) == frame


@pytest.mark.parametrize(
    ("start", "span", "num_frames", "video_frames", "ticks", "indices"),
    [
        (0.0, 256.0, 8, 303, 512.0, [0, 36, 72, 109, 145, 182, 218, 255]),
        (23.5, 256.0, 8, 303, 512.0, [24, 60, 96, 133, 169, 206, 242, 279]),
        (23.5, 256.0, 8, 303, None, [23, 59, 96, 132, 169, 205, 242, 278]),
        (0.0, 256.0, 8, 100, 512.0, [0, 36, 72, 99, 99, 99, 99, 99]),
        (0.0, 16.0, 4, 1, 1.0, [0, 0, 0, 0]),
        (3.0, 9.0, 1, 60, 512.0, [3]),
        (0.0, 4.0, 8, 60, 512.0, [0, 0, 0, 1, 1, 2, 2, 3]),  # slower than the target rate
    ],
)
def test_clip_indices(
    start: float,
    span: float,
    num_frames: int,
    video_frames: int,
    ticks: float | None,
    indices: list[int],
) -> None:
    assert clip_indices(start, span, num_frames, video_frames, ticks) == indices


@pytest.mark.parametrize("num_frames", [8, 16, 32, 64, 96])
@pytest.mark.parametrize("fps", [12.5, 24.0, 25.0, 29.0, 29.97, 30.0, 59.94, 60.0])
def test_indices_fall_where_torch_linspace_floors_them(num_frames: int, fps: float) -> None:
    for rate in (1, 2, 3, 4, 5, 8, 10, 16, 24, 32):
        span = clip_span(num_frames, rate, fps, target_fps=30)
        released = torch.linspace(0, span - 1, num_frames).clamp(0, 10**6).long().tolist()
        assert clip_indices(0.0, span, num_frames, 10**6, 512.0) == released


@pytest.mark.parametrize(
    ("video_frames", "num_views", "starts"),
    [
        (300, 1, [22.0]),
        (300, 2, [0.0, 44.0]),
        (300, 3, [0.0, 22.0, 44.0]),
        (200, 3, [0.0, 0.0, 0.0]),
    ],
)
def test_spread_views_reach_from_the_start_to_the_end(
    video_frames: int, num_views: int, starts: list[float]
) -> None:
    assert spread_starts(video_frames, 256.0, num_views) == pytest.approx(starts)


def test_strided_views_are_as_released_or_spread() -> None:
    video = Timeline(24, 30.0)
    released = Strided(num_frames=4, sampling_rate=3, target_fps=30)
    spread = Strided(num_frames=4, sampling_rate=3, target_fps=30, spread=True)
    # The clip spans 12 frames; the first 4 of its 12 are 0, 11/3, 22/3 and 11, floored.
    assert released.views(video, 1) == [[0, 3, 7, 11]]
    assert released.views(video, 2) == [[0, 3, 7, 11], [6, 9, 13, 17]]
    assert spread.views(video, 2) == [[0, 3, 7, 11], [12, 15, 19, 23]]
    assert spread.views(video, 1) == [[6, 9, 13, 17]]
    assert released.middle(video) == spread.middle(video) == [6, 9, 13, 17]


# --- segments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("video_frames", "num", "expected"),
    [
        # Borders at multiples of 23/8 = 2.875, rounded; 11.5 goes to the even 12.
        (24, 8, [(0, 3), (3, 6), (6, 9), (9, 12), (12, 14), (14, 17), (17, 20), (20, 23)]),
        (9, 4, [(0, 2), (2, 4), (4, 6), (6, 8)]),
        (3, 4, [(0, 0), (0, 1), (1, 2), (2, 2)]),  # 0.5 to 0, 1.5 to 2
        (1, 2, [(0, 0), (0, 0)]),
    ],
)
def test_segments_share_their_borders(
    video_frames: int, num: int, expected: list[tuple[int, int]]
) -> None:
    assert segments(video_frames, num) == expected


def released_segment_frames(video_frames: int, num_frames: int) -> list[tuple[int, int, int]]:
    """First, last and test frame of each segment, by the formula of PySlowFast's ssv2 data set."""
    size = float(video_frames - 1) / num_frames
    found = []
    for part in range(num_frames):
        first, last = int(np.round(size * part)), int(np.round(size * (part + 1)))
        found.append((first, last, (first + last) // 2))
    return found


@pytest.mark.parametrize("num_frames", [8, 16, 64])
def test_segments_are_the_released_ones(num_frames: int) -> None:
    sampling = Segmented(num_frames=num_frames)
    for video_frames in range(1, 250):
        released = released_segment_frames(video_frames, num_frames)
        video = Timeline(video_frames, 12.0)
        assert sampling.views(video, 1) == [[middle for _, _, middle in released]]
        assert sampling.middle(video) == [middle for _, _, middle in released]
        drawn = sampling.random_clip(video, random.Random(video_frames))
        assert all(a <= frame <= b for frame, (a, b, _) in zip(drawn, released, strict=True))


def test_random_segments_reach_both_borders_and_follow_their_generator() -> None:
    sampling, video = Segmented(num_frames=4), Timeline(9, 12.0)
    clips = [sampling.random_clip(video, random.Random(seed)) for seed in range(100)]
    assert [{clip[part] for clip in clips} for part in range(4)] == [
        {0, 1, 2},
        {2, 3, 4},
        {4, 5, 6},
        {6, 7, 8},
    ]
    assert clips[3] == sampling.random_clip(video, random.Random(3))


def test_views_of_segments_differ() -> None:
    # Segments of 8 frames (0 to 8, 8 to 16): at quarters for two views, at sixths for three.
    sampling, video = Segmented(num_frames=2), Timeline(17, 12.0)
    assert sampling.views(video, 1) == [[4, 12]]
    assert sampling.views(video, 2) == [[2, 10], [6, 14]]
    assert sampling.views(video, 3) == [[1, 9], [4, 12], [6, 14]]


# --- uniform --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("video_frames", "count", "indices"),
    [
        (8, 4, [1, 3, 5, 7]),
        (10, 4, [1, 3, 6, 8]),
        (9, 3, [1, 4, 7]),
        (4, 4, [0, 1, 2, 3]),
        (2, 4, [0, 0, 1, 1]),
        (1, 3, [0, 0, 0]),
        (7, 1, [3]),
    ],
)
def test_uniform_indices(video_frames: int, count: int, indices: list[int]) -> None:
    assert uniform_indices(video_frames, count) == indices


def test_uniform_views_are_dealt_from_one_set_and_nothing_is_random() -> None:
    sampling, video = Uniform(num_frames=4), Timeline(16, 30.0)
    assert sampling.views(video, 2) == [[1, 5, 9, 13], [3, 7, 11, 15]]
    assert sampling.views(video, 1) == [[2, 6, 10, 14]]
    assert sampling.random_clip(video, random.Random(0)) == sampling.middle(video)
    assert sampling.middle(video) == [2, 6, 10, 14]
