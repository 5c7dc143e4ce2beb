"""From a path of a list to a reader: a video file, a folder of frames, a part of a shard."""

from __future__ import annotations

import os

from timesformer.annotations.places import frame_range, tar_member
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.frame_folder import FrameFolder
from timesformer.datasets.reader import Reader


def open_video(path: str, *, frames_fps: float) -> Reader:
    """Open what `path` names (the forms of `annotations.places`).

    Args:
        path: a path of a `VideoList`.
        frames_fps: frames per second of frame folders, which no image tells.

    Raises:
        UnreadableVideo: it cannot be opened.
    """
    if (member := tar_member(path)) is not None:
        raise NotImplementedError(member)
    if os.path.isdir(path) or frame_range(path) is not None:
        return FrameFolder(path, fps=frames_fps)
    return VideoReader(path)
