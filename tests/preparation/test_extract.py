"""Frames as images: every one, or at another rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.preparation.made import make_video, psnr
from timesformer.datasets.decode import decode_all
from timesformer.errors import UserError
from timesformer.preparation.clips import Clip
from timesformer.preparation.extract import FrameSettings, write_frames


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """20 frames at 25 a second."""
    return make_video(tmp_path / "a.mp4")


def extracted(source: Path, **settings: Any) -> np.ndarray:
    """The images in the order of their names, RGB."""
    folder = source.with_name("frames")
    made = write_frames(Clip(str(source)), folder, FrameSettings(**settings))
    files = sorted(folder.iterdir())
    assert made.frames == len(files)
    assert made.bytes == sum(file.stat().st_size for file in files)
    pattern = settings.get("pattern", "img_%05d.jpg")
    assert [file.name for file in files] == [pattern % (n + 1) for n in range(len(files))]
    return np.stack([cv2.imread(str(file))[..., ::-1] for file in files])


def test_every_frame_to_the_bit(source: Path) -> None:
    frames = extracted(source, pattern="%04d.png")
    np.testing.assert_array_equal(frames, decode_all(str(source)))


def test_jpg_and_its_quality(source: Path, tmp_path: Path) -> None:
    good = extracted(source)
    assert psnr(good, decode_all(str(source))).min() > 35
    (tmp_path / "again").mkdir()
    poor = extracted(source.rename(tmp_path / "again" / "a.mp4"), quality=5)
    assert psnr(poor, good).max() < 35


@pytest.mark.parametrize(("fps", "count"), [(25, 20), (5, 4), (10, 8), (3, 3), (50, 40), (1, 1)])
def test_another_rate_takes_the_nearest_frames(fps: float, count: int, source: Path) -> None:
    frames, every = extracted(source, fps=fps, pattern="%04d.png"), decode_all(str(source))
    assert len(frames) == count  # the moments k / fps of 0.8 seconds
    taken = [int(np.argmax(psnr(every, frame[None].repeat(20, 0)))) for frame in frames]
    # Of two frames that are equally near, either; behind the last frame, the last one.
    assert all(abs(frame - min(k * 25 / fps, 19)) <= 0.5 for k, frame in enumerate(taken))


def test_short_side(source: Path) -> None:
    assert extracted(source, short_side=24).shape[1:] == (24, 32, 3)


def test_odd_sizes_stay(tmp_path: Path) -> None:
    source = make_video(tmp_path / "a.mkv", size=(65, 49), num_frames=2)
    assert extracted(source, short_side=64).shape == (2, 49, 65, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pattern": "image.jpg"}, "--pattern is 'image.jpg'; it must hold one number"),
        ({"pattern": "%d_%d.jpg"}, "it must hold one number"),
        ({"pattern": "a/%05d.jpg"}, "no folder"),
        ({"pattern": "%05d.tiff"}, r"end in \.jpg"),
        ({"pattern": "%s %"}, "it must hold one number"),
        ({"fps": 0.0}, "--fps is 0; it must be from 0.001 to 1000"),
        ({"quality": 0}, "--quality is 0; it must be from 1 to 100"),
        ({"short_side": 1}, "--short-side is 1; it must be 16 or more"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        FrameSettings(**changes)
