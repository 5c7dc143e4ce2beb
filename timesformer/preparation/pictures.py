"""The pictures of a clip, one after the other, as training would see them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from timesformer.datasets.reader import Reader
from timesformer.errors import UnreadableVideo
from timesformer.preparation.clips import Clip

Picture = tuple[np.ndarray, Fraction | None]


@dataclass(frozen=True)
class Pictures:
    """Those of one clip.

    Attributes:
        frames: each RGB, uint8 (H, W, 3), of one size, and its time in seconds where it is known.
            The frames of a full decode, so that any damage is met.
        fps: average rate of the whole video.
    """

    frames: Iterator[Picture]
    fps: float


@contextmanager
def open_clip(clip: Clip, *, frames_fps: float) -> Iterator[Pictures]:
    """Open a clip.

    Raises:
        UnreadableVideo: it cannot be opened, or has no frame in the span; or while it is read.
    """
    with open_whole(clip.path, frames_fps=frames_fps) as reader:
        first, end = frames_of(reader, clip)
        yield Pictures(one_by_one(reader, first, end), reader.fps)


def open_whole(path: str, *, frames_fps: float) -> Reader:
    """What `sources.open_video` opens; whatever goes wrong is an UnreadableVideo."""
    # Imported late: the process that only hands out the work needs no decoder.
    from timesformer.datasets.sources import open_video

    try:
        return open_video(path, decoder="pyav", frames_fps=frames_fps)
    except OSError as error:
        raise UnreadableVideo(path, error.strerror or str(error)) from error


def frames_of(reader: Reader, clip: Clip) -> tuple[int, int | None]:
    """The first frame of a clip and the one after its last; None for the end of the video."""
    first = 0 if clip.start is None else reader.frame_at(clip.start)
    end = None if clip.end is None else reader.frame_at(clip.end)
    if first >= (reader.num_frames if end is None else end):
        seconds = reader.num_frames / reader.fps
        raise UnreadableVideo(
            clip.path,
            f"it has no frame from {clip.start or 0:g} s to {clip.end or math.inf:g} s: it is "
            f"{seconds:.1f} s long",
        )
    return first, end


def one_by_one(reader: Reader, first: int, end: int | None) -> Iterator[Picture]:
    """Frames `first` to `end` - 1 (None: the last) of a video; see `Pictures.frames`."""
    shape = None
    for picture, time in reader.pictures(first, end):
        shape = shape or picture.shape
        if picture.shape != shape:
            sizes = sorted({shape, picture.shape})
            raise UnreadableVideo(reader.path, f"its picture size changes: {sizes}")
        yield picture, time
    if shape is None:
        raise UnreadableVideo(reader.path, "it holds no frame")


def shrink(picture: np.ndarray, short_side: int, multiple: int = 1) -> np.ndarray:
    """`picture` with the shorter side `short_side`, if it is larger; never enlarged.

    Both sides become multiples of `multiple`: by the scale where there is one, and else by cutting
    off what is over at the right and the bottom, which leaves the pixels as they are.
    """
    height, width = picture.shape[:2]
    if min(height, width) <= short_side:
        height, width = height - height % multiple, width - width % multiple
        return np.ascontiguousarray(picture[:height, :width])
    scale = short_side / min(height, width)
    size = [round(side * scale / multiple) * multiple for side in (width, height)]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
