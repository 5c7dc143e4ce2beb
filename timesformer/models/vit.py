"""The registered entry points, under the released names.

Both hold the network as their attribute `model`, so their parameter names start with ``model.``, as
in the released checkpoint files; `VisionTransformer` itself has the names without it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from timesformer.models.build import MODEL_REGISTRY, VideoClassifier
from timesformer.models.pretrained import load_pretrained
from timesformer.models.transformer import VisionTransformer

__all__ = ["TimeSformer", "VisionTransformer", "vit_base_patch16_224"]

logger = logging.getLogger("timesformer")


@MODEL_REGISTRY.register("TimeSformer")
class TimeSformer(VideoClassifier):
    """TimeSformer from Python, called as the released README calls it; base-16 by default.

    Args:
        img_size, patch_size, num_classes, num_frames, attention_type: see `VisionTransformer`.
        pretrained_model: path of a weights file (see `load_pretrained`), or empty for random
            weights; what came of the file is logged.
        geometry: any other argument of `VisionTransformer`.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        num_classes: int = 400,
        num_frames: int = 8,
        attention_type: str = "divided_space_time",
        pretrained_model: str = "",
        **geometry: Any,
    ) -> None:
        super().__init__()
        self.model = VisionTransformer(
            img_size=img_size,
            patch_size=patch_size,
            num_classes=num_classes,
            num_frames=num_frames,
            attention_type=attention_type,
            **geometry,
        )
        if pretrained_model:
            logger.info("%s", load_pretrained(self, pretrained_model))

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, C, T, H, W), normalised RGB, to logits (B, num_classes)."""
        return self.model(clip)

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.model.forward_features(clip)

    def set_grad_checkpointing(self, enable: bool) -> None:
        self.model.set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        return {f"model.{name}" for name in self.model.no_weight_decay()}


@MODEL_REGISTRY.register("vit_base_patch16_224")
def vit_base_patch16_224(**geometry: Any) -> TimeSformer:
    """The model name in the released configs: base-16 at 224 pixels unless `geometry` differs."""
    return TimeSformer(**geometry)
