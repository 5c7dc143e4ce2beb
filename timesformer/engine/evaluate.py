"""Scores of whole data sets: every video exactly once, whatever the number of processes.

B videos, V views of each, K classes, C channels, T frames, H W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from timesformer.datasets.batch import Batch, Failure
from timesformer.datasets.on_device import Normalizer
from timesformer.distributed.process import gather
from timesformer.distributed.watch import doing
from timesformer.engine.guards import WHAT_TO_TRY
from timesformer.errors import UserError
from timesformer.evaluation import combine_views, label_rank, topk_accuracy

if TYPE_CHECKING:
    from timesformer.engine.feed import Feed
    from timesformer.engine.prepare import Runtime

log = logging.getLogger("timesformer")


@dataclass(frozen=True)
class Scores:
    """Scores float32 (num_videos, K) and labels (num_videos,), in the order of `indices`.

    `view_predictions` int64 (num_videos, V) is the best class of each single view. A video that
    could not be read has NaN for scores, which counts as wrong, and -1 for its views.
    """

    indices: Tensor
    labels: Tensor
    scores: Tensor
    view_predictions: Tensor
    failures: tuple[Failure, ...]

    def accuracy(self, k: int) -> float:
        """Percentage of all videos whose label is among the k best scores."""
        return topk_accuracy(self.scores, self.labels, k)

    @property
    def ranks(self) -> Tensor:
        """int64 (num_videos,): how many classes stand before the right one."""
        return label_rank(self.scores, self.labels)


@dataclass(frozen=True)
class Scorer:
    """A model, and how scores of videos come of it."""

    model: nn.Module
    runtime: Runtime
    normalize: Normalizer | None  # None for a model that takes pixels
    num_classes: int
    ensemble: str
    num_views: int  # of each video
    clips_per_pass: int  # no more of them are floats at a time
    # What to compute in: a sharded model is put together there, once for all batches.
    within: Callable[[], AbstractContextManager[None]] = nullcontext

    def logits(self, clips: Tensor) -> Tensor:
        """float32 (N, K) of one pass, from uint8 clips (N, C, T, H, W) where the model is."""
        if self.normalize is not None:
            clips = self.normalize(clips[:, None])
        with self.runtime.for_size(len(clips), usual=self.clips_per_pass), self.runtime.autocast():
            return self.model(clips).float()

    def combine(self, logits: Tensor) -> Tensor:
        """Scores float32 (B, K) on the CPU, from the logits (B, V, K) of all views.

        Raises:
            UserError: they are not finite.
        """
        scores = combine_views(logits, self.ensemble).cpu()
        if not scores.isfinite().all():
            raise UserError(
                f"the model's scores are not finite: its weights are ruined. {WHAT_TO_TRY}"
            )
        return scores


class Scoring:
    """Scores of videos that come a few at a time, in passes of `scorer.clips_per_pass` views.

    What does not fill a pass waits for the views of the videos to come, so that the last pass alone
    is not a whole one: a video's number of views, and videos that cannot be read, cost nothing.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._batches: list[Batch] = []  # without their views
        self._clips: list[Tensor] = []  # (n, C, T, H, W), together fewer than a pass
        self._logits: list[Tensor] = []  # (n, K), together fewer than the views of a video
        self._scores: list[Tensor] = []  # (n, K) of the videos that could be read
        self._predictions: list[Tensor] = []  # (n, V) of the same

    def add(self, batch: Batch) -> None:
        """Compute what there are enough views for. The batch is where the model is: `prefetch`."""
        self._batches.append(replace(batch, views=torch.empty(0)))
        if len(batch.views):
            clips = batch.views.flatten(0, 1)
            clips = torch.cat([*self._clips, clips]) if self._clips else clips
            full = len(clips) - len(clips) % self.scorer.clips_per_pass
            # A copy: a view would keep all of them.
            self._clips = [clips[full:].clone()] if full < len(clips) else []
            self._compute(clips[:full])

    def finish(self) -> Scores:
        """Compute what is left. Scores are NaN for videos that could not be read."""
        for clips in self._clips:
            self._compute(clips)
        readable = joined(batch.readable for batch in self._batches).bool()
        scores = torch.full((len(readable), self.scorer.num_classes), torch.nan)
        predictions = torch.full((len(readable), self.scorer.num_views), -1)
        if self._scores:
            scores[readable] = torch.cat(self._scores)
            predictions[readable] = torch.cat(self._predictions)
        return Scores(
            joined(batch.indices for batch in self._batches),
            joined(batch.labels.cpu() for batch in self._batches),
            scores,
            predictions,
            tuple(failure for batch in self._batches for failure in batch.failures),
        )

    def _compute(self, clips: Tensor) -> None:
        if not len(clips):
            return
        passes = clips.split(self.scorer.clips_per_pass)
        logits = torch.cat([*self._logits, *(self.scorer.logits(part) for part in passes)])
        full = len(logits) - len(logits) % self.scorer.num_views
        self._logits = [logits[full:]]
        if full:
            of_videos = logits[:full].unflatten(0, (-1, self.scorer.num_views))  # (n, V, K)
            self._scores.append(self.scorer.combine(of_videos))
            self._predictions.append(of_videos.argmax(dim=-1).cpu())


def joined(parts: Iterable[Tensor]) -> Tensor:
    """One after the other; int64 (0,) of none."""
    return torch.cat([torch.zeros(0, dtype=torch.int64), *parts])


def predict(scorer: Scorer, feed: Feed, bar: tqdm[Any]) -> Scores | None:
    """Score this process's videos, then gather; None on all but the main process."""
    return gathered(score_share(scorer, feed, bar))


@torch.inference_mode()
def score_share(
    scorer: Scorer, feed: Feed, bar: tqdm[Any], is_enough: Callable[[], bool] = lambda: False
) -> Scores:
    """Score this process's videos, until `is_enough`.

    There is no collective inside the loop: processes may have different numbers of batches.
    """
    scorer.model.eval()
    scoring = Scoring(scorer)
    with scorer.within():
        for _ in range(len(feed)):
            if is_enough():
                break
            with doing("computing"):  # each batch counts as getting further
                scoring.add(feed.next())
            bar.update()
        with doing("computing"):
            return scoring.finish()


def gathered(share: Scores) -> Scores | None:
    """The shares of all processes on the main one, None elsewhere."""
    shares = gather(share)
    return None if shares is None else in_order(concatenate(shares))


def concatenate(parts: list[Scores]) -> Scores:
    """One after the other."""
    return Scores(
        torch.cat([part.indices for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.scores for part in parts]),
        torch.cat([part.view_predictions for part in parts]),
        tuple(failure for part in parts for failure in part.failures),
    )


def in_order(scores: Scores) -> Scores:
    order = scores.indices.argsort()
    return Scores(
        scores.indices[order],
        scores.labels[order],
        scores.scores[order],
        scores.view_predictions[order],
        scores.failures,
    )


def error_rates(scores: Scores) -> dict[str, Any]:
    """Errors in %, for the log; names the videos that could not be read."""
    log_failures(scores)
    return {
        "top1_err": 100 - scores.accuracy(1),
        "top5_err": 100 - scores.accuracy(5),
        "num_videos": len(scores.indices),
        "num_failed": len(scores.failures),
    }


def log_failures(scores: Scores) -> None:
    for failure in scores.failures:
        log.warning("counted as wrong: %s: %s", failure.path, failure.reason)
