"""What a weights file tells of its network: arguments of `VisionTransformer`, by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from timesformer.errors import UserError
from timesformer.weights import State

HEAD_DIM = 64  # the width of an attention head in every published ViT and TimeSformer

LARGEST_EPS = 1e-5  # of the norms; ours have 1e-6, and the difference is beyond what anyone sees
SIZES = ("img_size", "patch_size", "in_chans", "num_frames", "embed_dim", "depth", "num_heads")

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


def recorded(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What our own files state: a checkpoint's, or the JSON file's, entry ``geometry``."""
    geometry = content.get("geometry")
    return checked(geometry, source) if isinstance(geometry, Mapping) else {}


def normalization(content: Mapping[str, Any]) -> dict[str, list[float]]:
    """``mean`` and ``std`` as the config in a checkpoint, ours or a released one, states them."""
    try:
        data = yaml.safe_load(content["cfg"])["DATA"]
        return {name: [float(x) for x in data[name.upper()]] for name in ("mean", "std")}
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError):
        return {}  # no config, or one that is silent


def class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes, by label: our ``class_names``, or Transformers' ``id2label``."""
    names = content.get("class_names") or ()
    id2label = content.get("id2label")
    if isinstance(id2label, Mapping) and id2label.get("0") != "LABEL_0":  # its word for nameless
        names = [id2label.get(str(label)) for label in range(len(id2label))]
    is_complete = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if is_complete else ()


def from_config_json(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What Transformers' config.json of a ViT or a TimeSformer states.

    Raises:
        UserError: it is of a network that computes something that no network here does.
    """
    activation, eps = config.get("hidden_act", "gelu"), config.get("layer_norm_eps", 1e-6)
    if not str(activation).startswith("gelu") or not float(eps) < LARGEST_EPS:
        raise UserError(
            f"The config.json of {source} states hidden_act {activation} and layer_norm_eps {eps}, "
            "and a TimeSformer has gelu and 1e-6: choose other weights."
        )
    stated = {ours: config[name] for ours, name in IN_CONFIG_JSON.items() if name in config}
    return checked(stated, source)


def checked(geometry: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`geometry`; UserError if what should be a size is none."""
    for name in SIZES:
        given = geometry.get(name, 1)
        sides = given if name == "img_size" and isinstance(given, list | tuple) else [given]
        if len(sides) not in (1, 2) or not all(type(n) is int and n > 0 for n in sides):
            raise UserError(
                f"{source} states {name} {given!r}, but it must be a whole number above 0: correct "
                "it there."
            )
    return dict(geometry)


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
