"""A network small enough to build in a test, by keywords and by config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn

from timesformer.config import load_config
from timesformer.models import VisionTransformer
from timesformer.models.pretrained import LoadReport, load_weights
from timesformer.weights.load import Weights

GEOMETRY: dict[str, Any] = {
    "img_size": 16,
    "patch_size": 8,
    "num_classes": 5,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 3,
    "num_frames": 4,
}

FROM_SCRATCH: dict[str, Any] = {"time_embed_std": 0.02, "temporal_fc_zero_init": False}
"""With the released zeros, temporal attention gets no gradient in the first step."""


def tiny_network(attention_type: str = "divided_space_time", **changes: Any) -> VisionTransformer:
    return VisionTransformer(**{**GEOMETRY, "attention_type": attention_type, **changes})


def clip(batch: int = 2, frames: int = 4, height: int = 16, width: int = 16) -> Tensor:
    """Float (B, 3, T, H, W), the same on every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, frames, height, width, generator=generator)


def randomise(module: nn.Module) -> None:
    """Gives every parameter a value that matters, biases and zero-initialised ones included."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.3, generator=generator)


WITHOUT_TIMESFORMER: dict[str, Any] = {
    "DATA__TRAIN_CROP_SIZE": 32,
    "DATA__TEST_CROP_SIZE": 32,
    "TIMESFORMER__PATCH_SIZE": 16,
    "TIMESFORMER__EMBED_DIM": 0,
    "TIMESFORMER__DEPTH": 0,
    "TIMESFORMER__NUM_HEADS": 0,
}
"""Changes of `tiny_cfg` for models that have no use for the section TIMESFORMER."""


def tiny_cfg(**changes: Any) -> CfgNode:
    """A config of `GEOMETRY`; `changes` as ``TIMESFORMER__DEPTH=3``."""
    settings = {
        "MODEL__NUM_CLASSES": 5,
        "DATA__TRAIN_CROP_SIZE": 16,
        "DATA__TEST_CROP_SIZE": 16,
        "DATA__NUM_FRAMES": 4,
        "TIMESFORMER__PATCH_SIZE": 8,
        "TIMESFORMER__EMBED_DIM": 24,
        "TIMESFORMER__DEPTH": 2,
        "TIMESFORMER__NUM_HEADS": 3,
    }
    pairs = (settings | changes).items()
    return load_config(None, [part for k, v in pairs for part in (k.replace("__", "."), v)])


def load_state(
    network: nn.Module, state: Mapping[str, Tensor], *, source: str = "a state dict", **how: Any
) -> LoadReport:
    """`load_weights` of tensors under our names."""
    return load_weights(network, Weights(dict(state), source), **how)
