"""Decoded frames as RGB arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from timesformer.errors import UnreadableVideo


class Pictures:
    """The frames `wanted` of a video, by index, converted as they come straight into one array.

    Args:
        path: the video, for messages.
        wanted: indices of frames, each of which `add` has to be given.
    """

    def __init__(self, path: str, wanted: Iterable[int]) -> None:
        self._path = path
        self._rows = {index: row for row, index in enumerate(sorted(wanted))}
        self._missing = set(self._rows)
        self._array: np.ndarray | None = None
        self._reformatter = VideoReformatter()

    @property
    def are_complete(self) -> bool:
        """Whether every wanted frame was added."""
        return not self._missing

    def add(self, index: int, frame: VideoFrame) -> None:
        """Take `frame` as the wanted frame `index`.

        Raises:
            UnreadableVideo: it is of another size than the others, or turned by no quarter turns.
        """
        picture = to_rgb(self._path, frame, self._reformatter)
        if self._array is None:
            self._array = np.empty((len(self._rows), *picture.shape), dtype=np.uint8)
        require_one_size(self._path, [self._array[0], picture])
        self._array[self._rows[index]] = picture
        self._missing.discard(index)

    def in_order(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices`, each of them wanted and added, uint8 (len(indices), H, W, 3)."""
        assert self._array is not None
        assert self.are_complete
        rows = [self._rows[index] for index in indices]
        return self._array if rows == list(range(len(self._array))) else self._array[rows]


def to_rgb(path: str, frame: VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """`frame`, upright, as uint8 (H, W, 3): a view, which keeps its memory alive."""
    quarter_turns, rest = divmod(frame.rotation, 90)
    if rest:
        raise UnreadableVideo(path, f"it is rotated by {frame.rotation} degrees, not by quarters")
    # One thread: by default every conversion would start as many as the machine has cores.
    [plane] = reformatter.reformat(frame, format="rgb24", threads=1).planes
    content = np.frombuffer(plane, dtype=np.uint8)  # type: ignore[call-overload]  # it is a buffer
    lines = content.reshape(plane.height, plane.line_size)
    picture = lines[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
    return np.rot90(picture, quarter_turns) if quarter_turns else picture


def require_one_size(path: str, pictures: list[np.ndarray]) -> None:
    """Raise `UnreadableVideo` if `pictures` are of several sizes."""
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        raise UnreadableVideo(path, f"its picture size changes: {sorted(sizes)}")
