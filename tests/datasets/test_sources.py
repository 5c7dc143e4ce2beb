"""Every kind of place that a list may name is opened by the right reader, by either decoder."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.datasets.test_decode import write_video
from tests.datasets.test_torchcodec import needs_torchcodec
from timesformer.annotations.places import FrameRange, TarMember
from timesformer.datasets.decode import decode_all
from timesformer.datasets.sources import open_video
from timesformer.errors import UnreadableVideo

NUM_FRAMES = 6
DECODERS = ["pyav", pytest.param("torchcodec", marks=needs_torchcodec)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mp4", num_frames=NUM_FRAMES)


@pytest.fixture
def folder(video: Path) -> Path:
    """The frames of the video as PNG, which loses nothing."""
    folder = video.parent / "frames"
    folder.mkdir()
    for number, frame in enumerate(decode_all(str(video)), start=1):
        cv2.imwrite(str(folder / f"img_{number:05d}.png"), frame[..., ::-1])
    return folder


def member(video: Path) -> str:
    with tarfile.open(video.parent / "a.tar", "w") as tar:
        tar.add(video, arcname="b.mp4")
    with tarfile.open(video.parent / "a.tar") as tar:
        found = tar.getmember("b.mp4")
    return str(TarMember(str(video.parent / "a.tar"), "b.mp4", found.offset_data, found.size))


def read(path: str, decoder: str, indices: list[int]) -> np.ndarray:
    with open_video(path, decoder=decoder, frames_fps=12.0) as reader:
        return reader.read(indices)


@pytest.mark.parametrize("decoder", DECODERS)
def test_all_places_show_the_same_frames(video: Path, folder: Path, decoder: str) -> None:
    expected = decode_all(str(video))
    frames = FrameRange(f"{folder}/img_", 1, NUM_FRAMES, 5, ".png")
    for path in (str(video), str(folder), str(frames), member(video)):
        assert np.array_equal(read(path, decoder, [5, 0, 2]), expected[[5, 0, 2]]), path


def test_only_frame_folders_have_the_rate_of_the_config(video: Path, folder: Path) -> None:
    rates = {}
    for path in (video, folder):
        with open_video(str(path), decoder="pyav", frames_fps=12.0) as reader:
            rates[path] = reader.fps
    assert rates[folder] == 12.0
    assert rates[video] != 12.0


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ["none.mp4", "none/img_[001-003].jpg", "none.tar#a.mp4@512+10"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str, decoder: str) -> None:
    with pytest.raises(UnreadableVideo, match=r"none.*cannot be read: .*No such file"):
        read(str(tmp_path / name), decoder, [0])
