"""Accuracies as counts, divided once at the end. B clips or videos, K classes."""

from __future__ import annotations

import torch
from torch import Tensor

NEVER = torch.iinfo(torch.int64).max


def label_rank(scores: Tensor, labels: Tensor) -> Tensor:
    """How many other classes stand before the right one: int64 (B,), 0 for a correct top-1.

    Of equal scores the lower class stands first, as for `argmax`. A video whose scores are NaN is
    wrong for every k.

    Args:
        scores: float (B, K).
        labels: int64 (B,).
    """
    own = scores.gather(1, labels[:, None])  # (B, 1)
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]  # (B, K)
    before = (scores > own) | (scores.isnan()) | ((scores == own) & earlier)  # (B, K)
    return before.sum(dim=1).masked_fill(own[:, 0].isnan(), NEVER)


def topk_accuracy(scores: Tensor, labels: Tensor, k: int) -> float:
    """Percentage of rows whose label is among the `k` best scores; 0 for no rows."""
    correct = int((label_rank(scores, labels) < k).sum())
    return 100.0 * correct / max(len(labels), 1)


class TrainMeter:
    """Loss and top-k errors of the clips seen since the last reading, kept on the device.

    Nothing is copied to the host before `sums` is read, so that a step never waits.
    """

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    @torch.no_grad()
    def update(self, losses: Tensor, logits: Tensor, labels: Tensor, weights: Tensor) -> None:
        """Add clips: losses, labels, weights (0 for padding) are (B,), logits (B, K)."""
        ranks = label_rank(logits, labels)
        rows = torch.stack([losses.double(), ranks < 1, ranks < 5, torch.ones_like(weights)])
        self.sums += (rows * weights).sum(dim=1)

    def reset(self) -> Tensor:
        """The sums (loss, top-1 correct, top-5 correct, clips) so far; starts again from zero."""
        sums, self.sums = self.sums, torch.zeros_like(self.sums)
        return sums


def summarize(sums: Tensor) -> dict[str, float]:
    """Mean loss and errors in % from the sums of `TrainMeter`, of one or of all processes."""
    loss, top1, top5, clips = sums.tolist()
    clips = max(clips, 1)
    return {
        "loss": loss / clips,
        "top1_err": 100 * (1 - top1 / clips),
        "top5_err": 100 * (1 - top5 / clips),
    }
