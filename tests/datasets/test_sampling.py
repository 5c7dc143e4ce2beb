"""Frame indices against tables worked out by hand from the released protocol."""

from __future__ import annotations

import random

import pytest
import torch

from timesformer.datasets.sampling import (
    clip_indices,
    clip_span,
    first_frame,
    random_start,
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
