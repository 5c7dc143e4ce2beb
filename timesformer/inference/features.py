"""What a network makes of videos before it classifies them.

R videos, V views, D width, T frames, h w rows and columns of patches.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from timesformer.datasets.batch import Batch
from timesformer.engine.evaluate import Scorer
from timesformer.errors import UserError
from timesformer.models.build import VideoClassifier

KINDS = ("cls", "tokens")


def encoder(scorer: Scorer, what: str) -> Callable[[Batch], Tensor]:
    """A function from a batch on the device to features, float32.

    Args:
        scorer: of a model itself, not of its folded form.
        what: ``cls`` (R, D): what the head reads, the mean over the views; ``tokens``
            (R, V, T, h, w, D): the patches after the last layer and the final norm.

    Raises:
        UserError: the model has no such features.
    """
    from timesformer.models.vit import TimeSformer  # here, for the sake of short chains of imports

    model = scorer.model
    assert isinstance(model, VideoClassifier)
    if what not in KINDS:
        raise UserError(f"The features '{what}' are not known: use {' or '.join(KINDS)}.")
    if what == "tokens" and not isinstance(model, TimeSformer):
        raise UserError(
            "This model looks at whole frames and has no tokens of patches: use the features cls."
        )

    def features(clips: Tensor) -> Tensor:
        if isinstance(model, TimeSformer) and what == "tokens":
            return model.forward_intermediates(clips, [-1], norm=True)[0].patches
        return model.forward_features(clips)

    def encode(batch: Batch) -> Tensor:
        views = batch.views
        passes = views.flatten(0, 1).split(scorer.clips_per_pass)
        values = torch.cat([in_float(scorer, features, clips) for clips in passes])
        values = values.unflatten(0, views.shape[:2])
        if not values.isfinite().all():
            raise UserError("The model's features are not finite: its weights are ruined.")
        return values if what == "tokens" else values.mean(dim=1)

    return encode


def in_float(scorer: Scorer, features: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """Of uint8 clips (N, C, T, H, W)."""
    assert scorer.normalize is not None
    with scorer.runtime.autocast():
        return features(scorer.normalize(clips[:, None])).float()
