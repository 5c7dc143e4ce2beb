"""Small real videos and folders of frames, each with pictures of its own."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np


def small_pictures(seed: int, num_frames: int = 8) -> np.ndarray:
    """uint8 (num_frames, 36, 48, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (num_frames, 36, 48, 3), dtype=np.uint8)


def small_video(path: Path, seed: int = 0, num_frames: int = 8) -> Path:
    """An MPEG-4 video at `path`, in the container of its extension; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 36, "yuv420p"
        for picture in small_pictures(seed, num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def small_frames(folder: Path, seed: int = 0, num_frames: int = 8, name: str = "{}.jpg") -> Path:
    """A folder of images, named by their numbers from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(small_pictures(seed, num_frames)):
        cv2.imwrite(str(folder / name.format(index)), picture)
    return folder
