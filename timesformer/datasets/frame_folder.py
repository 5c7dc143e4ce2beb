"""Videos that are kept as folders of images, one for each frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from timesformer.annotations.places import IMAGE_EXTENSIONS, frame_range, natural_order
from timesformer.errors import UnreadableVideo


class FrameFolder:
    """The images of a folder, in the order of their names, or a numbered range of them.

    Only the images that are asked for are read. `fps` must be told, for no image knows it.

    Attributes:
        files: the path of each image, in order.

    Raises:
        UnreadableVideo: the folder is missing or holds no images.
    """

    ticks_per_frame: float | None = None

    def __init__(self, path: str, *, fps: float) -> None:
        self.path = path
        self.fps = fps
        named = frame_range(path)
        self.files = named.files() if named else _images(path)
        self.num_frames = len(self.files)
        if not self.files:
            raise UnreadableVideo(path, f"it holds no image ({', '.join(IMAGE_EXTENSIONS)})")

    def frame_at(self, seconds: float) -> int:
        """The first frame shown at or after `seconds`; `num_frames` if there is none."""
        return min(int(np.ceil(seconds * self.fps - 1e-6)), self.num_frames)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames `indices` as RGB, uint8 (len(indices), H, W, 3).

        Raises:
            IndexError: an index is negative or not below `num_frames`.
            UnreadableVideo: an image is missing or damaged, or they differ in size.
        """
        if not indices or min(indices) < 0 or max(indices) >= self.num_frames:
            raise IndexError(f"frames {indices} of a folder of {self.num_frames} frames")
        pictures = {index: self._picture(index) for index in set(indices)}
        sizes = {picture.shape for picture in pictures.values()}
        if len(sizes) > 1:
            raise UnreadableVideo(self.path, f"its picture size changes: {sorted(sizes)}")
        return np.stack([pictures[index] for index in indices])

    def pictures(self, first: int = 0, end: int | None = None) -> Iterator[tuple[np.ndarray, None]]:
        """Frames `first` to `end` (exclusive; None: all), one after the other; see `Reader`."""
        for index in range(self.num_frames)[first:end]:
            yield self._picture(index), None

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing is open between reads."""

    def _picture(self, index: int) -> np.ndarray:
        file = self.files[index]
        # OpenCV itself prints a warning on a missing file and says no reason.
        try:
            data = np.fromfile(file, dtype=np.uint8)
        except OSError as error:
            raise UnreadableVideo(self.path, f"{file}: {error.strerror}") from None
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
        if picture is None:
            raise UnreadableVideo(self.path, f"{file} is not an image, or is damaged")
        return picture


def _images(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder), key=natural_order)
    except OSError as error:
        raise UnreadableVideo(folder, error.strerror or type(error).__name__) from None
    return [
        os.path.join(folder, name)
        for name in names
        if name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
    ]
