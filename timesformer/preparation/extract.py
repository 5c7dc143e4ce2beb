"""Videos as folders of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from timesformer.datasets.frame_folder import IMAGE_EXTENSIONS
from timesformer.errors import UserError
from timesformer.preparation.clips import Clip
from timesformer.preparation.manifest import Made
from timesformer.preparation.pictures import Picture, open_clip, shrink

_QUALITY = {
    ".jpg": cv2.IMWRITE_JPEG_QUALITY,
    ".jpeg": cv2.IMWRITE_JPEG_QUALITY,
    ".webp": cv2.IMWRITE_WEBP_QUALITY,
}


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """How videos are taken apart.

    Args:
        short_side: pixels of the shorter side of videos that are larger; None for their own size.
        fps: frames per second to take, of any video; None for each of its frames.
        pattern: name of image n, from 1, with a place for the number as in ``img_%05d.jpg``.
        quality: of jpg and webp, 1 to 100.
        frames_fps: frames per second of what is a folder of frames already.
    """

    short_side: int | None = None
    fps: float | None = None
    pattern: str = "img_%05d.jpg"
    quality: int = 95
    frames_fps: float = 30.0

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < 16:
            raise UserError(f"--short-side is {self.short_side}; it must be 16 or more.")
        if self.fps is not None and not 0.001 <= self.fps <= 1000:
            raise UserError(f"--fps is {self.fps:g}; it must be from 0.001 to 1000.")
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality is {self.quality}; it must be from 1 to 100.")
        if not _is_pattern(self.pattern):
            raise UserError(
                f"--pattern is '{self.pattern}'; it must hold one number, as img_%05d.jpg does, "
                f"no folder, and end in {', '.join(IMAGE_EXTENSIONS)}."
            )


def _is_pattern(pattern: str) -> bool:
    try:
        names = pattern % 1, pattern % 2
    except (TypeError, ValueError):
        return False
    return names[0] != names[1] and "/" not in pattern and pattern.endswith(IMAGE_EXTENSIONS)


def write_frames(clip: Clip, target: Path, settings: FrameSettings) -> Made:
    """Write the images of a clip into the new folder `target`.

    Raises:
        UnreadableVideo: the source cannot be read.
    """
    target.mkdir()
    extension = target.with_name(settings.pattern).suffix
    options = [_QUALITY[extension], settings.quality] if extension in _QUALITY else []
    count = size = 0
    with open_clip(clip, frames_fps=settings.frames_fps) as pictures:
        fps = settings.fps or pictures.fps
        for picture in _at_rate(pictures.frames, pictures.fps, fps):
            if settings.short_side:
                picture = shrink(picture, settings.short_side)
            count += 1
            size += _write(target / (settings.pattern % count), picture, options)
    return Made(frames=count, fps=fps, bytes=size)


def _at_rate(frames: Iterator[Picture], fps: float, wanted: float) -> Iterator[np.ndarray]:
    """Of `frames` at `fps` the nearest one to every moment k / `wanted` of the video.

    A rate above the video's repeats frames.
    """
    taken, picture = 0, None
    for index, (picture, _) in enumerate(frames):
        until = _moments_before((index + 0.5) / fps, wanted)
        yield from repeat(picture, until - taken)
        taken = until
    if picture is not None:  # nearest to all that is left, too
        yield from repeat(picture, _moments_before((index + 1) / fps, wanted) - taken)


def _moments_before(seconds: float, rate: float) -> int:
    return math.ceil(round(seconds * rate, 6))


def _write(path: Path, picture: np.ndarray, options: list[int]) -> int:
    """Write an RGB picture; its bytes are counted."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    return path.write_bytes(data.tobytes())
