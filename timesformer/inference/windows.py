"""A long video in windows: which they are, and how neighbours are decoded together.

V views, C channels, T frames, S side of the crop.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from timesformer.datasets.batch import Failure, Item
from timesformer.datasets.reader import Reader
from timesformer.datasets.sampler import Request
from timesformer.datasets.sampling import FrameSampling, Strided
from timesformer.datasets.video import EvaluationViews
from timesformer.errors import UnreadableVideo, UserError

MAX_BYTES = 256 * 2**20  # of frames and views that are in memory for a batch of windows
MAX_WINDOWS = 32  # in a batch: the next ones are shown to be done when these are


def spans_over(seconds: float, window: float, stride: float) -> npt.NDArray[np.float64]:
    """Start and end in seconds (n, 2) of windows over a video: the last one ends with it.

    A video that is shorter than a window is one.

    Raises:
        UserError: `window` or `stride` is not above 0.
    """
    if not (window > 0 and stride > 0):
        raise UserError(f"windows of {window:g} s every {stride:g} s: both must be above 0.")
    last = max(seconds - window, 0.0)
    count = math.floor(last / stride + 1e-6) + 1
    starts = np.arange(count) * stride
    if last - starts[-1] > 1e-3:
        starts = np.append(starts, last)
    return np.stack([starts, np.minimum(starts + window, seconds)], axis=1)


def clip_seconds(sampling: FrameSampling) -> float | None:
    """How long one clip is; None where clips are the whole video, however long."""
    if not isinstance(sampling, Strided):
        return None
    return sampling.num_frames * sampling.sampling_rate / sampling.target_fps


def clips_in(window: float, sampling: FrameSampling, num_clips: int) -> int:
    """Temporal views of a window: not more than begin at different places."""
    length = clip_seconds(sampling)
    return num_clips if length is None else min(num_clips, max(1, math.ceil(window / length)))


class Windows(EvaluationViews, Dataset[Item]):
    """Spans of one video, each an item as a video is; a batch of them is decoded in one go.

    The file is opened once in each process that reads it, and what neighbours share is decoded
    once for a batch of them.
    """

    _reader: Reader | None = None

    @classmethod
    def of(cls, dataset: EvaluationViews, num_clips: int) -> Windows:
        """The same spans of the same file, with `num_clips` temporal views each."""
        return cls(
            dataset.videos,
            dataset.open_video,
            dataset.sampling,
            dataset.transform,
            num_clips=num_clips,
        )

    def __getitems__(self, requests: list[Request]) -> list[Item]:
        """The items of a batch; the loader prefers this to one after the other."""
        indices = [request.index for request in requests]
        try:
            return self._together(indices)
        except UnreadableVideo:
            # Damage somewhere: windows that it does not touch can be read alone.
            return [self._alone(index) for index in indices]

    def _alone(self, index: int) -> Item:
        try:
            return self._together([index])[0]
        except UnreadableVideo as error:
            failure = Failure(error.path, error.reason)
            return Item(None, self.label(index), index, failures=(failure,))

    def _together(self, indices: list[int]) -> list[Item]:
        if self._reader is None:
            self._reader = self.open_video(self.videos.paths[indices[0]])
        windows = [self.chosen(self._reader, index, self._choose) for index in indices]
        wanted = sorted({frame for clips in windows for clip in clips for frame in clip})
        frames = self._reader.read(wanted)
        rows = {frame: row for row, frame in enumerate(wanted)}
        items = []
        for index, clips in zip(indices, windows, strict=True):
            picked = np.stack([frames[[rows[frame] for frame in clip]] for clip in clips])
            items.append(Item(self.transform(picked), self.label(index), index))
        return items


def batch_of_windows(dataset: Windows, reader: Reader) -> int:
    """How many windows are worth decoding together, of the video that `reader` has open."""
    frames_of_window = sum(map(len, dataset.chosen(reader, 0, dataset._choose)))
    picture = reader.read([0]).nbytes
    view = 3 * dataset.transform.crop_size**2
    crops = dataset.transform.num_crops
    fits = max(1, MAX_BYTES // (frames_of_window * (picture + view * crops)))
    # Of a file that does not tell where its frames are, each read is from the start.
    return fits if not getattr(reader, "is_indexed", True) else min(fits, MAX_WINDOWS)
