"""Data sets of videos: which frames of which file become which views.

V views, C channels, T frames, S side of the crop.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from timesformer.annotations.table import VideoList
from timesformer.datasets.batch import Failure, Item
from timesformer.datasets.reader import Reader, frames_between
from timesformer.datasets.sampler import Request
from timesformer.datasets.sampling import FrameSampling, Timeline
from timesformer.datasets.transforms import ClipTransform, ViewTransform
from timesformer.errors import UnreadableVideo

# Unreadable videos in a row after which the data set as a whole must be at fault.
MAX_TRIES = 10


class VideoDataset(Dataset[Item], ABC):
    """One item for each video of a list; see `Item` for its shape.

    `open_video` opens a path of the list; `sampling` chooses frames of what it opened.
    """

    def __init__(
        self, videos: VideoList, open_video: Callable[[str], Reader], sampling: FrameSampling
    ) -> None:
        self.videos = videos
        self.open_video = open_video
        self.sampling = sampling

    def __len__(self) -> int:
        return len(self.videos)

    @abstractmethod
    def __getitem__(self, request: int | Request) -> Item: ...

    def label(self, index: int) -> int:
        return int(self.videos.labels[index])

    def read(
        self, index: int, choose: Callable[[Timeline], list[list[int]]]
    ) -> tuple[np.ndarray, ...]:
        """The clips that `choose` picks of video `index`, each uint8 (T, H, W, C).

        The file is opened and decoded once for all of them.
        """
        with self.open_video(self.videos.paths[index]) as reader:
            clips = self.chosen(reader, index, choose)
            frames = reader.read([frame for clip in clips for frame in clip])
        return tuple(frames.reshape(len(clips), -1, *frames.shape[1:]))

    def chosen(
        self, reader: Reader, index: int, choose: Callable[[Timeline], list[list[int]]]
    ) -> list[list[int]]:
        """The frames, in the numbers of the file and as shown, that `choose` picks of `index`."""
        first, timeline = self._timeline(reader, index)
        clips = [[first + frame for frame in clip] for clip in choose(timeline)]
        if self.videos.backward is not None and self.videos.backward[index]:
            return [clip[::-1] for clip in clips]
        return clips

    def _timeline(self, reader: Reader, index: int) -> tuple[int, Timeline]:
        """The first frame of the part of the file that is meant, and that part's timeline."""
        first, end = 0, reader.num_frames
        if self.videos.spans is not None:
            first, end = frames_between(reader, *self.videos.spans[index])
        return first, Timeline(end - first, reader.fps, reader.ticks_per_frame)


class TrainingClips(VideoDataset):
    """One random clip of a video, randomly scaled, cropped and flipped.

    Everything random is a function of (seed, epoch, index), whichever worker does the work. A video
    that cannot be read is replaced by another, drawn by the same function, and named in the item.
    """

    def __init__(
        self,
        videos: VideoList,
        open_video: Callable[[str], Reader],
        sampling: FrameSampling,
        transform: ClipTransform,
        *,
        seed: int,
        num_samples: int = 1,
    ) -> None:
        super().__init__(videos, open_video, sampling)
        self.transform = transform
        self.seed = seed
        self.num_samples = num_samples

    def __getitem__(self, request: int | Request) -> Item:
        """Item with views uint8 (V, C, T, S, S), V = `num_samples` clips of one video; None if no
        replacement could be read either."""
        if isinstance(request, int):
            request = Request(request)
        index = request.index
        rng = request.rng(self.seed)
        failures: list[Failure] = []
        while len(failures) < MAX_TRIES:
            try:
                views = self._random_clips(index, rng)
                # Its own failure only, and only where it counts: those of the replacements that
                # were tried come up with their own requests.
                own = tuple(failures[: request.counted])
                seed = rng.getrandbits(63)
                return Item(views, self.label(index), index, request.counted, own, seed)
            except UnreadableVideo as error:
                failures.append(Failure(error.path, error.reason))
                index = rng.randrange(len(self))
        return Item(None, self.label(index), index, request.counted, tuple(failures))

    def _random_clips(self, index: int, rng: random.Random) -> torch.Tensor:
        def choose(video: Timeline) -> list[list[int]]:
            return [self.sampling.random_clip(video, rng) for _ in range(self.num_samples)]

        return torch.stack([self.transform(frames, rng) for frames in self.read(index, choose)])


class EvaluationViews(VideoDataset):
    """The same views of a video every time: `num_clips` in time, each with the transform's crops.

    `num_clips` 0 stands for one clip from the middle, which validation uses.
    """

    def __init__(
        self,
        videos: VideoList,
        open_video: Callable[[str], Reader],
        sampling: FrameSampling,
        transform: ViewTransform,
        *,
        num_clips: int,
    ) -> None:
        super().__init__(videos, open_video, sampling)
        self.transform = transform
        self.num_clips = num_clips

    @property
    def num_views(self) -> int:
        return max(self.num_clips, 1) * self.transform.num_crops

    def __getitem__(self, request: int | Request) -> Item:
        """Item with views uint8 (V, C, T, S, S), temporal view major; None if unreadable."""
        index = request if isinstance(request, int) else request.index
        try:
            views = self.transform(np.stack(self.read(index, self._choose)))
        except UnreadableVideo as error:
            failure = Failure(error.path, error.reason)
            return Item(None, self.label(index), index, failures=(failure,))
        return Item(views, self.label(index), index)

    def _choose(self, video: Timeline) -> list[list[int]]:
        if self.num_clips == 0:
            return [self.sampling.middle(video)]
        return self.sampling.views(video, self.num_clips)
