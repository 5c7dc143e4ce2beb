"""What every source of frames offers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from timesformer.errors import UnreadableVideo

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on


class Reader(Protocol):
    """An open video that hands out frames by index; a context manager.

    Attributes:
        path: what was opened, for messages.
        num_frames: its frames, at least one.
        fps: frames per second.
        ticks_per_frame: see `sampling.Timeline`.
    """

    path: str
    num_frames: int
    fps: float
    ticks_per_frame: float | None

    def frame_at(self, seconds: float) -> int:
        """The first frame shown at or after `seconds`; `num_frames` if the video ends before."""

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices` (any order, repeats allowed) as RGB, uint8 (len(indices), H, W, 3).

        Raises:
            IndexError: an index is negative or not below `num_frames`.
            UnreadableVideo: a frame cannot be decoded.
        """

    def pictures(
        self, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[np.ndarray, Fraction | None]]:
        """Frames `first` to `end` (exclusive; None: all), one after the other, and their times.

        RGB, uint8 (H, W, 3), and seconds, or None where they are not known.

        Raises:
            UnreadableVideo: anything that they depend on cannot be decoded.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


def frames_between(reader: Reader, start: float, end: float) -> tuple[int, int]:
    """The first frame from `start` on and the first one from `end` on, in seconds.

    NaN is the video's own start or end, as in `VideoList.spans`.

    Raises:
        UnreadableVideo: there is no frame between them.
    """
    first = 0 if math.isnan(start) else reader.frame_at(start)
    stop = reader.num_frames if math.isnan(end) else reader.frame_at(end)
    if first >= stop:
        span = "" if math.isnan(start) else f" from {start:g} s"
        span += "" if math.isnan(end) else f" to {end:g} s"
        seconds = reader.num_frames / reader.fps
        raise UnreadableVideo(reader.path, f"it has no frame{span}: it is {seconds:.1f} s long")
    return first, stop
