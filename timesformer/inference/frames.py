"""Frames that are in memory already, read as any video is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from timesformer.errors import UnreadableVideo, UserError

NAME = "frames in memory"  # in messages


class FramesInMemory:
    """A `Reader` of `frames`, uint8 RGB (T, H, W, 3), `fps` of them a second."""

    path = NAME
    ticks_per_frame: float | None = None

    def __init__(self, frames: np.ndarray, fps: float) -> None:
        self.frames = frames
        self.fps = fps
        self.num_frames = len(frames)

    def frame_at(self, seconds: float) -> int:
        """The first frame shown at or after `seconds`; `num_frames` if there is none."""
        return min(int(np.ceil(seconds * self.fps - 1e-6)), self.num_frames)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices`, uint8 (len(indices), H, W, 3)."""
        return self.frames[list(indices)]

    def pictures(self, first: int = 0, end: int | None = None) -> Iterator[tuple[np.ndarray, None]]:
        """Frames `first` to `end`, one after the other."""
        return ((frame, None) for frame in self.frames[first:end])

    def __enter__(self) -> FramesInMemory:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing is open."""


def frames_in_memory(frames: np.ndarray | Tensor, fps: float | None) -> FramesInMemory:
    """A reader of them.

    Raises:
        UserError: they are not uint8 (T, H, W, 3), there are none, or nobody said their `fps`.
    """
    array = frames.numpy(force=True) if isinstance(frames, Tensor) else np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise UserError(
            f"frames are {array.dtype} {array.shape}, but must be uint8 RGB (T, H, W, 3)."
        )
    if fps is None or not fps > 0:
        raise UserError(f"fps is {fps}: of frames, say how many of them are a second.")
    if not array.size:
        raise UnreadableVideo(NAME, "there is no frame")
    return FramesInMemory(array, fps)
