"""What a weights file tells of its network: arguments of `VisionTransformer`, by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from timesformer.weights import State

HEAD_DIM = 64  # the width of an attention head in every published ViT and TimeSformer

# Arguments of ours, and where Transformers' config.json states them.
IN_CONFIG_JSON = {
    "attention_type": "attention_type",
    "img_size": "image_size",
    "patch_size": "patch_size",
    "in_chans": "num_channels",
    "num_frames": "num_frames",
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "qkv_bias": "qkv_bias",
}


def recorded(content: Mapping[str, Any]) -> dict[str, Any]:
    """What our own files state: a checkpoint's, or the JSON file's, entry ``geometry``."""
    geometry = content.get("geometry")
    return dict(geometry) if isinstance(geometry, Mapping) else {}


def from_config_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """What Transformers' config.json of a ViT or a TimeSformer states."""
    return {ours: config[theirs] for ours, theirs in IN_CONFIG_JSON.items() if theirs in config}


def from_state(state: State) -> dict[str, Any]:
    """What the shapes of a network's tensors, under our names, tell.

    Heads leave no trace in them: they are taken to be `HEAD_DIM` wide. Nor does a grid of patches
    that is not square, and space-only attention is told from joint by having no time embedding.
    """
    patches = state.get("patch_embed.proj.weight")
    if patches is None or patches.ndim != 4 or "blocks.0.mlp.fc1.weight" not in state:
        return {}  # a baseline, or patches of several frames
    embed_dim, in_chans, patch_size, _ = patches.shape
    return {
        "img_size": patch_size * square_side(state),
        "patch_size": patch_size,
        "in_chans": in_chans,
        "embed_dim": embed_dim,
        "depth": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "num_heads": max(embed_dim // HEAD_DIM, 1),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / embed_dim,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
        "num_frames": state["time_embed"].shape[1] if "time_embed" in state else 1,
        "attention_type": attention_type(state),
        "pos_embed": position_kind(state),
        **head_shape(state),
    }


def square_side(state: State) -> int:
    """Rows of patches, if there are as many as columns; 14 where nothing tells."""
    return math.isqrt(state["pos_embed"].shape[1] - 1) if "pos_embed" in state else 14


def attention_type(state: State) -> str:
    """The scheme whose layers these are."""
    marks = {"width": "axial", "local": "sparse_local_global", "temporal": "divided_space_time"}
    for mark, scheme in marks.items():
        if f"blocks.0.{mark}_attn.qkv.weight" in state:
            return scheme
    return "joint_space_time" if "time_embed" in state else "space_only"


def position_kind(state: State) -> str:
    if "pos_embed" not in state:
        return "none"
    # A space-only network never has a time embedding, and is not told of time by default.
    without_time = "time_embed" not in state and attention_type(state) != "space_only"
    return "space" if without_time else "space_time"


def head_shape(state: State) -> dict[str, int]:
    """Classes, and the hidden layer of the head."""
    if "head.fc2.weight" in state:
        num_classes, hidden = state["head.fc2.weight"].shape
        return {"num_classes": num_classes, "head_hidden_dim": hidden}
    head = state.get("head.weight")
    return {"num_classes": 0 if head is None else head.shape[0], "head_hidden_dim": 0}
