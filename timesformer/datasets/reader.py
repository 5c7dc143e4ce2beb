"""What every source of frames offers, and how one says that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from timesformer.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on


class UnreadableVideo(UserError):  # noqa: N818 - it names the video, not a mistake in the code
    """A video that cannot be opened or decoded; `path` and `reason` say which and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the video '{self.path}' cannot be read: {self.reason}"


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

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
