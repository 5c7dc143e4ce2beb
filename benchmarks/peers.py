"""The same network in three programs: ours, Transformers' port, lucidrains' timesformer-pytorch.

Ours and Transformers' have the same weights. lucidrains' is another network of the same width,
depth, heads and frames (a gated MLP twice as wide, rotary embeddings, no layer after the attention
over time), so that its numbers stand beside the others and its outputs cannot be compared.

Dimensions: B batch, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from timesformer.export.formats import RELEASED_SCHEMES
from timesformer.models.vit import TimeSformer
from timesformer.weights.formats import to_foreign_names
from timesformer.weights.geometry import IN_CONFIG_JSON

OURS, TRANSFORMERS, LUCIDRAINS = "ours", "Transformers", "lucidrains"
PACKAGES = ("transformers", "timesformer-pytorch")
MODULES = {TRANSFORMERS: "transformers", LUCIDRAINS: "timesformer_pytorch"}

# Every parameter has a value that matters, and nothing is drawn at random in a step.
FIRST_VALUES = {"drop_path_rate": 0.0, "temporal_fc_zero_init": False, "time_embed_std": 0.02}


def ours(**geometry: Any) -> TimeSformer:
    """The same weights in every call."""
    torch.manual_seed(0)
    return TimeSformer(**geometry, **FIRST_VALUES)


class Transformers(nn.Module):
    """Clips as ours takes them; its space-only logits of every frame are averaged."""

    def __init__(self, **geometry: Any) -> None:
        from transformers import TimesformerConfig, TimesformerForVideoClassification

        super().__init__()
        original = ours(**geometry).model
        facts = original.geometry
        config = TimesformerConfig(
            **{theirs: facts[name] for name, theirs in IN_CONFIG_JSON.items()},
            intermediate_size=round(facts["embed_dim"] * facts["mlp_ratio"]),
            num_labels=facts["num_classes"],
            layer_norm_eps=1e-6,
        )
        self.per_frame = facts["attention_type"] == "space_only"
        self.network = TimesformerForVideoClassification(config)
        if not next(original.parameters()).is_meta:
            state = to_foreign_names(original.state_dict(), "Transformers TimeSformer")
            self.network.load_state_dict(state)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, K)."""
        logits = self.network(clip.transpose(1, 2)).logits
        return logits.unflatten(0, (len(clip), -1)).mean(dim=1) if self.per_frame else logits


class Lucidrains(nn.Module):
    def __init__(self, *, num_classes: int = 400, **geometry: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `is` with a number, in the package
            from timesformer_pytorch import TimeSformer as Theirs

        super().__init__()
        facts = ours(num_classes=num_classes, **geometry).model.geometry
        self.network = Theirs(
            dim=facts["embed_dim"],
            num_frames=facts["num_frames"],
            num_classes=num_classes,
            image_size=facts["img_size"],
            patch_size=facts["patch_size"],
            depth=facts["depth"],
            heads=facts["num_heads"],
            dim_head=facts["embed_dim"] // facts["num_heads"],
        )

    def forward(self, clip: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, K)."""
        return self.network(clip.transpose(1, 2))


MAKERS: dict[str, Callable[..., nn.Module]] = {
    OURS: ours,
    TRANSFORMERS: Transformers,
    LUCIDRAINS: Lucidrains,
}


def make(who: str, geometry: dict[str, Any]) -> nn.Module:
    """The network in one of `MAKERS`; ImportError where its package is not installed."""
    return MAKERS[who](**geometry)


def is_installed(who: str) -> bool:
    return who == OURS or find_spec(MODULES[who]) is not None


def knows(who: str, scheme: str) -> bool:
    """Whether a program has a network with this attention."""
    known = {TRANSFORMERS: RELEASED_SCHEMES, LUCIDRAINS: ("divided_space_time",)}
    return who == OURS or scheme in known[who]


def is_comparable(who: str, scheme: str) -> bool:
    """Whether its outputs must be ours: Transformers averages space-only scores after the norm."""
    return who == TRANSFORMERS and scheme != "space_only"
