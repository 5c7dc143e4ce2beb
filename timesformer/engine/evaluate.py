"""Scores of whole data sets: every video exactly once, whatever the number of processes.

B videos, V views, K classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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

    The scores of a video that could not be read are NaN, which counts as wrong.
    """

    indices: Tensor
    labels: Tensor
    scores: Tensor
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
    """A model, and how its scores for a batch of videos come about."""

    model: nn.Module
    runtime: Runtime
    normalize: Normalizer
    num_classes: int
    ensemble: str
    clips_per_pass: int
    # What to compute in: a sharded model is put together there, once for all batches.
    within: Callable[[], AbstractContextManager[None]] = nullcontext

    def __call__(self, batch: Batch) -> Tensor:
        """Scores float32 (B, K) on the CPU, NaN for videos that could not be read.

        The batch is where the model is; see `prefetch`.

        Raises:
            UserError: the scores of a video that could be read are not finite.
        """
        scores = torch.full((len(batch.labels), self.num_classes), torch.nan)
        if len(batch.views):
            scores[batch.readable] = self._combined(batch.views).cpu()
        if not scores[batch.readable].isfinite().all():
            raise UserError(
                f"the model's scores are not finite: its weights are ruined. {WHAT_TO_TRY}"
            )
        return scores

    def _combined(self, views: Tensor) -> Tensor:
        """(R, K) from uint8 views (R, V, C, T, H, W)."""
        parts = views.flatten(0, 1).split(self.clips_per_pass)
        logits = torch.cat([self._logits(part) for part in parts])
        return combine_views(logits.unflatten(0, views.shape[:2]), self.ensemble)

    def _logits(self, clips: Tensor) -> Tensor:
        """float32 (N, K) from uint8 clips (N, C, T, H, W): no more of them are floats at a time."""
        clips = self.normalize(clips[:, None])
        with self.runtime.autocast():
            return self.model(clips).float()


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
    parts = []
    with scorer.within():
        for _ in range(len(feed)):
            if is_enough():
                break
            with doing("computing"):  # each batch counts as getting further
                batch = feed.next()
                scores = scorer(batch)
            parts.append(Scores(batch.indices, batch.labels.cpu(), scores, batch.failures))
            bar.update()
    return concatenate(parts)


def gathered(share: Scores) -> Scores | None:
    """The shares of all processes on the main one, None elsewhere."""
    shares = gather(share)
    return None if shares is None else in_order(concatenate(shares))


def concatenate(parts: list[Scores]) -> Scores:
    """One after the other; parts without videos are left out."""
    parts = [part for part in parts if len(part.indices)] or parts
    if not parts:
        empty = torch.zeros(0, dtype=torch.int64)
        return Scores(empty, empty, torch.zeros(0, 0), ())
    return Scores(
        torch.cat([part.indices for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.scores for part in parts]),
        tuple(failure for part in parts for failure in part.failures),
    )


def in_order(scores: Scores) -> Scores:
    order = scores.indices.argsort()
    return Scores(
        scores.indices[order], scores.labels[order], scores.scores[order], scores.failures
    )


def error_rates(share: Scores) -> dict[str, Any] | None:
    """Errors in % over the shares of all processes, on the main process; None elsewhere."""
    scores = gathered(share)
    if scores is None:
        return None
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
