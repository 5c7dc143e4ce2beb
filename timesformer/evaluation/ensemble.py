"""Many views, one score for each class."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def _sum(logits: Tensor) -> Tensor:
    return logits.sum(dim=-2)


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(dim=-1).sum(dim=-2)


def _max(logits: Tensor) -> Tensor:
    return logits.amax(dim=-2)


# The released code sums logits (its docstring says probabilities); the published numbers are that.
ENSEMBLES: dict[str, Callable[[Tensor], Tensor]] = {"sum": _sum, "softmax": _softmax, "max": _max}


def combine_views(logits: Tensor, method: str) -> Tensor:
    """Scores (..., K) of a video from the logits (..., V, K) of its views."""
    return ENSEMBLES[method](logits)


def probabilities(scores: Tensor, method: str, num_views: int) -> Tensor:
    """What scores (..., K) of videos, combined of `num_views` views, mean: (..., K), each row 1.

    For ``sum`` the softmax of the views' mean logits, for ``max`` that of their largest ones, for
    ``softmax`` the mean of the views' own probabilities. NaN stays NaN.
    """
    if method == "softmax":
        return scores / scores.sum(dim=-1, keepdim=True)
    return (scores / num_views if method == "sum" else scores).softmax(dim=-1)
