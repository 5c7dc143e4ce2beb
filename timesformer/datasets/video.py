"""Data sets of video files: which frames of which file become which views.

V views, C channels, T frames, S side of the crop.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from timesformer.datasets.annotations import VideoList
from timesformer.datasets.batch import Failure, Item
from timesformer.datasets.decode import UnreadableVideo, VideoReader
from timesformer.datasets.sampler import Request
from timesformer.datasets.sampling import clip_indices, clip_span, random_start, view_starts
from timesformer.datasets.transforms import TrainTransform, ViewTransform

# Unreadable videos in a row after which the data set as a whole must be at fault.
MAX_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """`num_frames` frames, `sampling_rate` apart at `target_fps` frames per second."""

    num_frames: int
    sampling_rate: int
    target_fps: float

    def span(self, reader: VideoReader) -> float:
        """Source frames of `reader` that a clip covers."""
        return clip_span(self.num_frames, self.sampling_rate, reader.fps, self.target_fps)

    def indices(self, reader: VideoReader, start: float) -> list[int]:
        """The frames of the clip that starts at `start`."""
        return clip_indices(
            start, self.span(reader), self.num_frames, reader.num_frames, reader.ticks_per_frame
        )


class VideoDataset(Dataset[Item], ABC):
    """One item for each line of a video list; see `Item` for its shape."""

    def __init__(self, videos: VideoList, clip: ClipShape) -> None:
        self.videos = videos
        self.clip = clip

    def __len__(self) -> int:
        return len(self.videos)

    @abstractmethod
    def __getitem__(self, request: int | Request) -> Item: ...

    def label(self, index: int) -> int:
        return int(self.videos.labels[index])


class TrainingClips(VideoDataset):
    """One random clip of a video, randomly scaled, cropped and flipped.

    Everything random is a function of (seed, epoch, index), whichever worker does the work. A video
    that cannot be read is replaced by another, drawn by the same function, and named in the item.
    """

    def __init__(
        self, videos: VideoList, clip: ClipShape, transform: TrainTransform, *, seed: int
    ) -> None:
        super().__init__(videos, clip)
        self.transform = transform
        self.seed = seed

    def __getitem__(self, request: int | Request) -> Item:
        """Item with views uint8 (1, C, T, S, S); None if no replacement could be read either."""
        if isinstance(request, int):
            request = Request(request)
        index = request.index
        rng = random.Random(f"{self.seed} {request.epoch} {index}")
        failures: list[Failure] = []
        while len(failures) < MAX_TRIES:
            try:
                views = self._random_clip(self.videos.paths[index], rng)
                # Its own failure only, and only where it counts: those of the replacements that
                # were tried come up with their own requests.
                own = tuple(failures[: request.counted])
                return Item(views, self.label(index), index, request.counted, own)
            except UnreadableVideo as error:
                failures.append(Failure(error.path, error.reason))
                index = rng.randrange(len(self))
        return Item(None, self.label(index), index, request.counted, tuple(failures))

    def _random_clip(self, path: str, rng: random.Random) -> torch.Tensor:
        with VideoReader(path) as reader:
            start = random_start(reader.num_frames, self.clip.span(reader), rng)
            frames = reader.read(self.clip.indices(reader, start))
        return self.transform(frames, rng)[None]


class EvaluationViews(VideoDataset):
    """The same views of a video every time: `num_clips` in time, each with the transform's crops.

    `num_clips` 0 stands for one clip from the middle, which validation uses; 1 is the first clip,
    as in the released test protocol. The file is opened and decoded once for all views.
    """

    def __init__(
        self, videos: VideoList, clip: ClipShape, transform: ViewTransform, *, num_clips: int
    ) -> None:
        super().__init__(videos, clip)
        self.transform = transform
        self.num_clips = num_clips

    @property
    def num_views(self) -> int:
        return max(self.num_clips, 1) * self.transform.num_crops

    def __getitem__(self, request: int | Request) -> Item:
        """Item with views uint8 (V, C, T, S, S), temporal view major; None if unreadable."""
        index = request if isinstance(request, int) else request.index
        try:
            views = self.transform(self._clips(self.videos.paths[index]))
        except UnreadableVideo as error:
            failure = Failure(error.path, error.reason)
            return Item(None, self.label(index), index, failures=(failure,))
        return Item(views, self.label(index), index)

    def _clips(self, path: str) -> np.ndarray:
        """uint8 (num_clips, T, H, W, C)."""
        with VideoReader(path) as reader:
            starts = self._starts(reader.num_frames, self.clip.span(reader))
            indices = [i for start in starts for i in self.clip.indices(reader, start)]
            frames = reader.read(indices)
        return frames.reshape(len(starts), -1, *frames.shape[1:])

    def _starts(self, video_frames: int, span: float) -> list[float]:
        if self.num_clips == 0:
            # The second of two views starts in the middle of the slack: the centre clip.
            return view_starts(video_frames, span, 2)[1:]
        return view_starts(video_frames, span, self.num_clips)
