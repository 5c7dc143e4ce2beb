"""The pictures of a clip, one after the other, as training would see them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from timesformer.annotations.places import tar_member
from timesformer.datasets.decode import VideoReader
from timesformer.datasets.reader import Reader, frames_between
from timesformer.datasets.sources import open_video
from timesformer.errors import UnreadableVideo
from timesformer.preparation.clips import Clip
from timesformer.preparation.header import read_header

Picture = tuple[np.ndarray, Fraction | None]

_HEAD = 512  # bytes that tell whether a file is text


@dataclass(frozen=True)
class Pictures:
    """Those of one clip.

    Attributes:
        frames: each RGB, uint8 (H, W, 3), of one size, and its time in seconds where it is known.
            The frames of a full decode; any damage that they depend on is met.
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
        if clip.end is None and isinstance(reader, VideoReader):
            read_header(reader.source)
        first, end = frames_of(reader, clip)
        yield Pictures(one_by_one(reader, first, None if clip.end is None else end), reader.fps)


def open_whole(path: str, *, frames_fps: float) -> Reader:
    """What `sources.open_video` opens; whatever goes wrong is an UnreadableVideo."""
    try:
        return open_video(path, decoder="pyav", frames_fps=frames_fps)
    except UnreadableVideo as error:
        raise UnreadableVideo(path, _what_it_is(path) or error.reason) from error
    except OSError as error:
        raise UnreadableVideo(path, error.strerror or str(error)) from error


def _what_it_is(path: str) -> str:
    """Says so where an unreadable file is empty, or text: most often the page of an error."""
    if tar_member(path) is not None or not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:  # noqa: PTH123 - paths are strings throughout
        head = file.read(_HEAD)
    if not head:
        return "it is empty"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        first = head.decode("utf-8", "replace").split("\n")[0].strip()
        return f"it is text: '{first[:60]}'"
    return ""


def frames_of(reader: Reader, clip: Clip) -> tuple[int, int]:
    """The first frame of a clip and the one after its last; UnreadableVideo if there is none."""
    start, end = (math.nan if bound is None else bound for bound in (clip.start, clip.end))
    return frames_between(reader, start, end)


def one_by_one(reader: Reader, first: int, end: int | None) -> Iterator[Picture]:
    """Frames `first` to `end` - 1 (None: the last) of a video; see `Pictures.frames`."""
    shape, count = None, first
    for picture, time in reader.pictures(first, end):
        count += 1
        shape = shape or picture.shape
        if picture.shape != shape:
            sizes = sorted({shape, picture.shape})
            raise UnreadableVideo(reader.path, f"its picture size changes: {sizes}")
        yield picture, time
    promised = reader.num_frames if end is None else end
    if count < promised:
        raise UnreadableVideo(
            reader.path, f"its packets promise {promised} frames, and {count} decode"
        )


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
