"""The registered entry points, under the released names.

All hold the network as their attribute `model`, so their parameter names start with ``model.``, as
in the released checkpoint files; `VisionTransformer` itself has the names without it.

``timesformer_SIZE`` and ``timesformer_VARIANT`` are `TimeSformer` with the arguments of `SIZES` and
`VARIANTS`; arguments that are given win. In a config, where all but the size is always given, the
name may not be contradicted (`build.check_stated`); the classes are those of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from timesformer.models.build import MODEL_REGISTRY, VideoClassifier, load_pretrained, report
from timesformer.models.transformer import LayerTokens, VisionTransformer

__all__ = ["TimeSformer", "VisionTransformer", "vit_base_patch16_224"]


SIZES: dict[str, dict[str, Any]] = {  # ViT (arXiv 2010.11929), the small ones DeiT (2012.12877)
    "tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3},
    "small": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    "base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "huge": {"embed_dim": 1280, "depth": 32, "num_heads": 16},
}

VARIANTS: dict[str, dict[str, Any]] = {  # of the paper, all of the base size
    "hr": {"num_frames": 16, "img_size": 448},
    "l": {"num_frames": 96, "img_size": 224},
    "l_ssv2": {"num_frames": 64, "img_size": 224, "num_classes": 174},
    "howto100m_8": {"num_frames": 8, "img_size": 224, "num_classes": 1059},
    "howto100m_32": {"num_frames": 32, "img_size": 224, "num_classes": 1059},
    "howto100m_64": {"num_frames": 64, "img_size": 224, "num_classes": 1059},
    "howto100m_96": {"num_frames": 96, "img_size": 224, "num_classes": 1059},
}


@MODEL_REGISTRY.register("TimeSformer")
class TimeSformer(VideoClassifier):
    """TimeSformer from Python, called as the released README calls it; base-16 by default.

    Args:
        img_size, patch_size, num_classes, num_frames, attention_type: see `VisionTransformer`.
        pretrained_model: weights to start from, a path or an address (see `load_pretrained`), or
            empty for random ones; what came of them is logged.
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
            report(load_pretrained(self, pretrained_model))

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, C, T, H, W), normalised RGB, to logits (B, num_classes)."""
        return self.model(clip)

    @property
    def geometry(self) -> dict[str, Any]:
        return self.model.geometry

    def forward_features(self, clip: Tensor) -> Tensor:
        return self.model.forward_features(clip)

    def forward_intermediates(
        self, clip: Tensor, layers: Sequence[int] | None = None, *, norm: bool = False
    ) -> list[LayerTokens]:
        """The tokens after each block: see `VisionTransformer.forward_intermediates`."""
        return self.model.forward_intermediates(clip, layers, norm=norm)

    def set_grad_checkpointing(
        self, enable: bool, *, every: int = 1, keep: str = "nothing"
    ) -> None:
        self.model.set_grad_checkpointing(enable, every=every, keep=keep)

    def no_weight_decay(self) -> set[str]:
        return {f"model.{name}" for name in self.model.no_weight_decay()}

    def parameter_layers(self) -> dict[str, int]:
        return {f"model.{name}": layer for name, layer in self.model.parameter_layers().items()}


@MODEL_REGISTRY.register("vit_base_patch16_224")
def vit_base_patch16_224(**geometry: Any) -> TimeSformer:
    """The model name in the released configs: base-16 at 224 pixels unless `geometry` differs."""
    return TimeSformer(**geometry)


for _name, _size in SIZES.items():
    MODEL_REGISTRY.register(f"timesformer_{_name}")(partial(TimeSformer, **_size))
for _name, _clip in VARIANTS.items():
    MODEL_REGISTRY.register(f"timesformer_{_name}")(partial(TimeSformer, **SIZES["base"], **_clip))
