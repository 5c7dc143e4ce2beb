"""A few frames of a video, as pictures that a page holds itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from timesformer.errors import UserError

NUM_FRAMES = 4
HEIGHT = 120  # pixels of a frame on the page
GAP = 3  # pixels between frames
QUALITY = 80  # of JPEG, to 100


@dataclass(frozen=True)
class Strip:
    """Frames side by side as a ``data:`` address; or none, and the reason in `note`."""

    address: str = ""
    note: str = ""
    width: int = 0
    height: int = 0


def strip_of(
    path: str, *, span: tuple[float, float], frames_fps: float, backward: bool = False
) -> Strip:
    """`NUM_FRAMES` frames of a video, evenly spaced; a note where it cannot be read.

    Args:
        path: as of a `VideoList`.
        span: start and end in seconds; NaN is the file's own.
        frames_fps: frames per second of a folder of frames (DATA.FRAMES_FPS).
        backward: the last frame first.
    """
    # Imported late, as all that only a report with mistakes needs.
    from timesformer.datasets.reader import frames_between
    from timesformer.datasets.sources import open_video

    try:
        with open_video(path, decoder="pyav", frames_fps=frames_fps) as reader:
            first, end = frames_between(reader, *span)
            places = first + (np.arange(NUM_FRAMES) + 0.5) / NUM_FRAMES * (end - first)
            frames = reader.read(np.unique(places.astype(int)).tolist())
            return picture(frames[::-1] if backward else frames)
    except (UserError, OSError) as error:
        return Strip(note=str(error))


def picture(frames: np.ndarray) -> Strip:
    """Of RGB frames, uint8 (T, H, W, 3)."""
    width = max(round(frames.shape[2] * HEIGHT / frames.shape[1]), 1)
    shrinks = frames.shape[1] > HEIGHT  # else pixels stay visible
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    small = [cv2.resize(frame, (width, HEIGHT), interpolation=method) for frame in frames]
    line = np.full((HEIGHT, GAP, 3), 255, dtype=np.uint8)
    parts = [part for frame in small for part in (frame, line)][:-1]
    joined = cv2.cvtColor(np.concatenate(parts, axis=1), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", joined, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    address = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    return Strip(address=address, width=joined.shape[1], height=HEIGHT)
