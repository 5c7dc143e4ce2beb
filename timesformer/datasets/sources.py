"""From a path of a list to a reader: a video file, a folder of frames, a part of a shard."""

from __future__ import annotations

import os

from timesformer.annotations.places import frame_range, tar_member
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.frame_folder import FrameFolder
from timesformer.datasets.reader import Reader
from timesformer.datasets.shard_member import read_member


def check_decoder(decoder: str) -> None:
    """UserError if `decoder` needs a package that is not installed."""
    if decoder != "pyav":
        from timesformer.datasets.torchcodec_reader import import_decoder

        import_decoder()


def open_video(path: str, *, decoder: str, frames_fps: float) -> Reader:
    """Open what `path` names (the forms of `annotations.places`).

    Args:
        path: a path of a `VideoList`.
        decoder: of videos: ``pyav``, ``torchcodec`` or ``torchcodec_cuda``.
        frames_fps: frames per second of frame folders, which no image tells.

    Raises:
        UnreadableVideo: it cannot be opened.
        UserError: the decoder is not installed, or has no device.
    """
    if os.path.isdir(path) or frame_range(path) is not None:
        return FrameFolder(path, fps=frames_fps)
    member = tar_member(path)
    data = read_member(member) if member else None
    if decoder == "pyav":
        return VideoReader(path, data)
    from timesformer.datasets.torchcodec_reader import TorchcodecReader

    return TorchcodecReader(path, data, device="cuda" if decoder == "torchcodec_cuda" else "cpu")
