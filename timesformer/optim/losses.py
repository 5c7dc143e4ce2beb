"""Training losses, one value for each clip, so that any grouping of clips gives the same mean."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from timesformer.registry import Registry

Loss = Callable[[Tensor, Tensor, float], Tensor]

LOSS_REGISTRY: Registry[Loss] = Registry("loss")


@LOSS_REGISTRY.register("cross_entropy")
def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each clip.

    Args:
        logits: float (B, K).
        target: int64 (B,) classes, or float (B, K) probabilities (after mixup).
        label_smoothing: share of the target spread evenly over the K classes.

    Returns:
        float32 (B,).
    """
    return F.cross_entropy(
        logits.float(), target, reduction="none", label_smoothing=label_smoothing
    )
