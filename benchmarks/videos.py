"""The videos that are measured: real ones, or made ones of the kinds that data sets hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
import cv2
import numpy as np

from timesformer.preparation.clips import Clip
from timesformer.preparation.encode import VideoSettings, write_video

NUM_FRAMES = 300


def made_videos(folder: Path) -> dict[str, Path]:
    """Ten seconds as Kinetics clips are coded, and as UCF101's are."""
    h264, mpeg4 = folder / "h264_b_frames.mp4", folder / "mpeg4.avi"
    _encode(h264, "libx264", (340, 256), 30, {"crf": "23", "preset": "medium"})
    _encode(mpeg4, "mpeg4", (320, 240), 25, {"g": "12", "bf": "0", "b": "500k"})
    return {"H.264 with B-frames (made)": h264, "MPEG-4 avi (made)": mpeg4}


def made_hd_video(folder: Path) -> Path:
    """Ten seconds of 1280 x 720, as Kinetics videos come from the web."""
    path = folder / "h264_hd.mp4"
    _encode(path, "libx264", (1280, 720), 30, {"crf": "23", "preset": "medium"})
    return path


def prepared(video: Path, folder: Path) -> Path:
    """`video` as `tools/prepare_dataset.py` writes it, unless told otherwise."""
    target = folder / "prepared.mp4"
    write_video(Clip(str(video)), target, VideoSettings())
    return target


def _encode(
    path: Path, codec: str, size: tuple[int, int], rate: int, options: Mapping[str, str]
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(_picture(index, size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """A panned background, a turning thing before it, grain: about what a hand-held camera sees."""
    width, height = size
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (24, 48, 3), dtype=np.uint8)
    background = cv2.resize(coarse, (2 * width, height + 40), interpolation=cv2.INTER_CUBIC)
    top = int(20 + 15 * np.sin(index / 9))
    view = background[top : top + height, index // 2 :][:, :width].copy()
    centre = (int(width * (0.5 + 0.3 * np.sin(index / 25))), height // 2)
    cv2.ellipse(view, centre, (70, 30), index * 3.0, 0, 360, (200, 90, 40), -1)
    grain = np.random.default_rng(index).normal(0, 3, view.shape)
    return np.clip(view + grain, 0, 255).astype(np.uint8)
