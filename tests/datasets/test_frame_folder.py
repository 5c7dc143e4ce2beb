"""Folders of frames as videos: order, colours, only what is asked for, what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from timesformer.datasets.frame_folder import FrameFolder
from timesformer.errors import UnreadableVideo


def write(path: Path, level: int, size: tuple[int, int] = (12, 16)) -> None:
    """An image of red `level`, green 0 and blue 255 - `level`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.zeros((*size, 3), dtype=np.uint8)
    bgr[..., 0], bgr[..., 2] = 255 - level, level
    assert cv2.imwrite(str(path), bgr)


def test_frames_are_in_natural_order_and_rgb(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write(tmp_path / f"frame{number}.png", number * 10)
    (tmp_path / "thumbs.db").write_text("no image")
    (tmp_path / "._frame1.png").write_text("what a Mac keeps beside each file")
    with FrameFolder(str(tmp_path), fps=12) as video:
        assert (video.num_frames, video.fps, video.ticks_per_frame) == (3, 12, None)
        frames = video.read([2, 0, 1, 0])
    assert frames.shape == (4, 12, 16, 3)
    assert frames.dtype == np.uint8
    assert frames[:, 0, 0].tolist() == [[100, 0, 155], [10, 0, 245], [90, 0, 165], [10, 0, 245]]


def test_a_range_reads_its_frames_and_no_others(tmp_path: Path) -> None:
    for number in range(1, 6):
        write(tmp_path / f"img_{number:05d}.png", number)
    video = FrameFolder(str(tmp_path / "img_[00002-00004].png"), fps=30)
    assert video.num_frames == 3
    assert video.read([0, 1, 2])[:, 0, 0, 0].tolist() == [2, 3, 4]


def test_a_folder_may_be_called_like_a_range(tmp_path: Path) -> None:
    write(tmp_path / "a[2-3]" / "1.png", 1)
    assert FrameFolder(str(tmp_path / "a[2-3]"), fps=30).num_frames == 1


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"broken")
    video = FrameFolder(str(tmp_path), fps=30)
    assert video.read([0]).shape == (1, 12, 16, 3)
    with pytest.raises(UnreadableVideo, match=r"2\.png is not an image, or is damaged"):
        video.read([0, 1])


@pytest.mark.parametrize(
    ("seconds", "frame"), [(0, 0), (0.5, 6), (0.51, 7), (1 / 12, 1), (3, 24), (2, 24), (1.99, 24)]
)
def test_times_are_counted_in_frames_per_second(tmp_path: Path, seconds: float, frame: int) -> None:
    for number in range(24):
        (tmp_path / f"{number}.jpg").touch()
    assert FrameFolder(str(tmp_path), fps=12).frame_at(seconds) == frame


def test_pictures_come_one_after_the_other(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    video = FrameFolder(str(tmp_path), fps=12)
    assert [picture[0, 0, 0] for picture, _ in video.pictures()] == [0, 1, 2, 3]
    assert [picture[0, 0, 0] for picture, _ in video.pictures(1, 3)] == [1, 2]


@pytest.mark.parametrize("indices", [[], [-1], [2], [0, 5]])
def test_an_index_that_is_none_is_our_mistake(tmp_path: Path, indices: list[int]) -> None:
    for number in range(2):
        write(tmp_path / f"{number}.png", number)
    with pytest.raises(IndexError, match="of a folder of 2 frames"):
        FrameFolder(str(tmp_path), fps=30).read(indices)


def test_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="No such file"):
        FrameFolder(str(tmp_path / "nowhere"), fps=30)
    with pytest.raises(UnreadableVideo, match=r"it holds no image \(\.jpg"):
        FrameFolder(str(tmp_path), fps=30)
    write(tmp_path / "1.png", 1)
    write(tmp_path / "2.png", 2, size=(16, 12))
    with pytest.raises(UnreadableVideo, match="its picture size changes"):
        FrameFolder(str(tmp_path), fps=30).read([0, 1])
    (tmp_path / "3.png").touch()
    with pytest.raises(UnreadableVideo, match=r"3\.png is not an image"):
        FrameFolder(str(tmp_path), fps=30).read([2])
    with pytest.raises(UnreadableVideo, match=r"4\.png: No such file"):
        FrameFolder(str(tmp_path / "[3-4].png"), fps=30).read([1])
