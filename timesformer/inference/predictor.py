"""Scores and features of any videos, by the objects of the test.

K classes, V views, D width of the features, T frames, H W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from timesformer.annotations.table import PackedStrings, VideoList
from timesformer.datasets.batch import Batch, Failure, collate
from timesformer.datasets.build import video_dataset
from timesformer.datasets.video import EvaluationViews
from timesformer.distributed.process import Process
from timesformer.engine.build import eval_feed, final_form, scorer, views_of_process
from timesformer.engine.evaluate import Scoring
from timesformer.errors import UnreadableVideo, UserError
from timesformer.evaluation.ensemble import probabilities
from timesformer.inference.features import encoder
from timesformer.inference.frames import NAME, frames_in_memory
from timesformer.inference.load import load_trained
from timesformer.inference.windows import (
    Windows,
    batch_of_windows,
    clip_seconds,
    clips_in,
    spans_over,
)

log = logging.getLogger("timesformer")

Video = str | Path | np.ndarray | Tensor
SHOWN = 5


class Guess(NamedTuple):
    """One class of a prediction."""

    label: int
    name: str
    probability: float
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a model says of a video, or of a part of it.

    Attributes:
        path: of the video.
        names: of the classes, by label.
        scores: float32 (K,), as a test writes them to predictions.npz.
        probabilities: float32 (K,), their sum 1: see `evaluation.ensemble.probabilities`.
        labels: int64 (K,), the classes, the best first; of equal scores the lower class.
    """

    path: str
    names: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return np.argsort(-self.scores, kind="stable")

    def top(self, k: int = SHOWN) -> list[Guess]:
        """The `k` best classes, or all if there are fewer."""
        return [
            Guess(
                int(label),
                self.names[label],
                float(self.probabilities[label]),
                float(self.scores[label]),
            )
            for label in self.labels[:k]
        ]

    def __str__(self) -> str:
        lines = [f"{100 * guess.probability:6.2f} %  {guess.name}" for guess in self.top()]
        return "\n".join([self.path, *lines])


@dataclass(frozen=True)
class Timeline:
    """What a model says of the windows of a video.

    Attributes:
        path: of the video.
        names: of the classes, by label.
        spans: float64 (n, 2), start and end of each window in seconds.
        scores: float32 (n, K); NaN for a window that cannot be read.
        probabilities: float32 (n, K); likewise.
        failures: why windows cannot be read.
    """

    path: str
    names: tuple[str, ...]
    spans: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    failures: tuple[str, ...] = ()

    @property
    def readable(self) -> npt.NDArray[np.bool_]:
        """(n,): which windows can be read."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    @property
    def moments(self) -> npt.NDArray[np.float64]:
        """float64 (n, 2): the seconds each window stands for, up to halfway to its neighbours."""
        centres = self.spans.mean(axis=1)
        borders = (centres[1:] + centres[:-1]) / 2
        starts = np.concatenate([self.spans[:1, 0], borders])
        return np.stack([starts, np.concatenate([borders, self.spans[-1:, 1]])], axis=1)

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, window: int) -> Prediction:
        return Prediction(self.path, self.names, self.scores[window], self.probabilities[window])


@dataclass(frozen=True)
class Outcome:
    """What came of one video of a list: float32 values, or why there are none."""

    index: int
    path: str
    values: npt.NDArray[np.float32] | None
    reason: str = ""


class Predictor:
    """A trained model for videos of any kind: ``Predictor("checkpoint")("video.mp4")``.

    The arguments are those of `load_trained`. Videos are cut, scaled and scored as in the test of
    the config: by the same data set, the same views and their ensemble.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        cfg_file: str | Path | None = None,
        overrides: Sequence[Any] = (),
        device: str = "auto",
        averaged: bool = False,
    ) -> None:
        self.trained = load_trained(
            checkpoint, cfg_file=cfg_file, overrides=overrides, device=device, averaged=averaged
        )
        cfg = self.trained.cfg
        self.plain_scorer = scorer(  # of the model itself, which knows more than its scores
            cfg,
            self.trained.model,
            self.trained.runtime,
            num_views=cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS,
            clips_per_pass=views_of_process(cfg.TEST.BATCH_SIZE, Process()),
        )
        self.scorer = final_form(cfg, self.plain_scorer)

    def __call__(self, video: Video, *, fps: float | None = None) -> Prediction:
        """The prediction for one video.

        Args:
            video: a path, or frames, uint8 RGB (T, H, W, 3).
            fps: of frames, how many of them are a second; a file knows.

        Raises:
            UnreadableVideo: which and why.
        """
        return self.of_first(self.dataset_of_video(video, fps))

    def many(self, videos: Sequence[str | Path]) -> Iterator[Prediction | Failure]:
        """The prediction for each video, or why it cannot be read, in their order.

        They are decoded by DATA_LOADER.NUM_WORKERS processes while the model works.
        """
        dataset = self.dataset_of(videos)
        for outcome in self.outcomes(dataset):
            if outcome.values is None:
                yield Failure(outcome.path, outcome.reason)
            else:
                yield self.prediction(outcome.path, outcome.values, dataset.num_views)

    def features(self, videos: Sequence[str | Path], what: str = "cls") -> npt.NDArray[np.float32]:
        """The features of each video, float32; NaN for those that cannot be read, as the log says.

        Args:
            videos: paths.
            what: ``cls`` for what the head reads, the mean over the views, (n, D); ``tokens`` for
                the patches after the last layer and the norm, (n, V, T, h, w, D).

        Raises:
            UserError: the model has no such features, or no video can be read.
        """
        outcomes = list(self.outcomes(self.dataset_of(videos), what))
        found = [outcome.values for outcome in outcomes if outcome.values is not None]
        for outcome in outcomes:
            if outcome.values is None:
                log.warning("no features of %s: %s", outcome.path, outcome.reason)
        if not found:
            raise UserError("None of the videos can be read: there are no features.")
        values = np.full((len(outcomes), *found[0].shape), np.nan, dtype=np.float32)
        values[[outcome.values is not None for outcome in outcomes]] = found
        return values

    def timeline(
        self,
        video: Video,
        window: float | None = None,
        stride: float | None = None,
        *,
        fps: float | None = None,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> Timeline:
        """The predictions for windows along a video, each scored as a video of that length.

        Args:
            video, fps: as in a call.
            window: seconds of each; by default those of one clip.
            stride: seconds from one to the next; by default half a window.
            tell: is told how many windows are done, and of how many.

        Raises:
            UnreadableVideo: the video cannot be opened.
        """
        whole = self.dataset_of_video(video, fps)
        window = window or clip_seconds(whole.sampling) or 2.0
        with whole.open_video(whole.videos.paths[0]) as reader:
            spans = spans_over(reader.num_frames / reader.fps, window, stride or window / 2)
            dataset = self.dataset_of([whole.videos.paths[0]] * len(spans), spans)
            dataset.open_video = whole.open_video
            windows = Windows.of(dataset, clips_in(window, whole.sampling, whole.num_clips))
            together = batch_of_windows(windows, reader)
        return self._timeline(windows, together, tell)

    def _timeline(
        self, windows: Windows, together: int, tell: Callable[[int, int], None]
    ) -> Timeline:
        spans = windows.videos.spans
        assert spans is not None
        scores = np.full((len(spans), len(self.trained.class_names)), np.nan, dtype=np.float32)
        failures = []
        for done, outcome in enumerate(self.outcomes(windows, batch_size=together), start=1):
            if outcome.values is None:
                start, end = spans[outcome.index]
                failures.append(f"{start:g} to {end:g} s: {outcome.reason}")
            else:
                scores[outcome.index] = outcome.values
            tell(done, len(spans))
        return Timeline(
            windows.videos.paths[0],
            self.trained.class_names,
            spans,
            scores,
            self.probabilities(scores, windows.num_views),
            tuple(failures),
        )

    def dataset_of(
        self, paths: Sequence[str | Path], spans: npt.NDArray[np.float64] | None = None
    ) -> EvaluationViews:
        """The views that a test has of the videos at `paths`; of `spans` of them (see VideoList).

        Their labels are 0.
        """
        cfg = self.trained.cfg
        videos = VideoList(
            PackedStrings(map(str, paths)),
            np.zeros(len(paths), dtype=np.int64),
            source="the videos that were asked for",
            class_names=self.trained.class_names,
            spans=spans,
        )
        dataset = video_dataset(cfg.TEST.DATASET, cfg, "test", videos)
        assert isinstance(dataset, EvaluationViews)
        return dataset

    def dataset_of_video(self, video: Video, fps: float | None = None) -> EvaluationViews:
        """`dataset_of` one video, a path or frames."""
        if isinstance(video, str | Path):
            return self.dataset_of([video])
        reader = frames_in_memory(video, fps)
        dataset = self.dataset_of([NAME])
        dataset.open_video = lambda path: reader
        return dataset

    def outcomes(
        self, dataset: EvaluationViews, what: str = "scores", *, batch_size: int | None = None
    ) -> Iterator[Outcome]:
        """What comes of each video of `dataset`, in order, as soon as it is known.

        Args:
            dataset: of `dataset_of`.
            what: ``scores`` (K,), or what `features` knows.
            batch_size: videos that are loaded together; by default those that fill a pass.

        Raises:
            UserError: the model has no such features, or its weights are ruined.
        """
        compute = self.score if what == "scores" else encoder(self.plain_scorer, what)
        size = batch_size or max(1, self.scorer.clips_per_pass // dataset.num_views)
        feed = eval_feed(self.trained.cfg, dataset, Process(), batch_size=size)
        feed.start()
        for _ in range(len(feed)):
            yield from self._outcomes(dataset, feed.next(), compute)

    def score(self, batch: Batch) -> Tensor:
        """Scores float32 (R, K) of the videos of a batch that could be read."""
        scoring = Scoring(replace(self.scorer, num_views=batch.views.shape[1]))
        scoring.add(batch)
        return scoring.finish().scores[batch.readable]

    def _outcomes(
        self, dataset: EvaluationViews, batch: Batch, compute: Callable[[Batch], Tensor]
    ) -> Iterator[Outcome]:
        with torch.inference_mode():
            values = iter(compute(batch).cpu().numpy() if batch.readable.any() else ())
        failures = iter(batch.failures)
        for index, is_readable in zip(batch.indices.tolist(), batch.readable.tolist(), strict=True):
            path = dataset.videos.paths[index]
            if is_readable:
                yield Outcome(index, path, next(values))
            else:
                yield Outcome(index, path, None, next(failures).reason)

    def of_first(self, dataset: EvaluationViews) -> Prediction:
        """The prediction for the first video of `dataset`, in this process.

        Raises:
            UnreadableVideo: which and why.
        """
        batch = collate([dataset[0]]).to(self.trained.device)
        [outcome] = self._outcomes(dataset, batch, self.score)
        if outcome.values is None:
            raise UnreadableVideo(outcome.path, outcome.reason)
        return self.prediction(outcome.path, outcome.values, dataset.num_views)

    def prediction(self, path: str, scores: npt.NDArray[np.float32], num_views: int) -> Prediction:
        """Of scores (K,) that were combined of `num_views` views."""
        names = self.trained.class_names
        return Prediction(path, names, scores, self.probabilities(scores, num_views))

    def probabilities(
        self, scores: npt.NDArray[np.float32], num_views: int
    ) -> npt.NDArray[np.float32]:
        """Of scores (..., K) that were combined of `num_views` views each."""
        method = self.trained.cfg.DATA.ENSEMBLE_METHOD
        return probabilities(torch.tensor(scores), method, num_views).numpy()
