"""From an image ViT to a video network: how the attention it lacks gets its first weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

ADDED = re.compile(r"(blocks\.\d+)\.[a-z]+_(attn|norm1)\.")
"""Attention before the last of a block, and its norm: `temporal_attn`, `width_norm1`, …"""


def has_added_attention(names: Iterable[str]) -> bool:
    """Whether the blocks with these parameter names have more attention than an image ViT's."""
    return any(ADDED.match(name) for name in names)


def inflate(state: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The tensors among `wanted` that the image ViT `state` lacks and that copies of it can fill.

    Each added attention and its norm are copied from ``attn`` and ``norm1`` of the same block, as
    the released code does for time. The linear layer after it and ``time_embed`` have no
    counterpart in an image network and keep the new network's values. Those are zeros unless asked
    otherwise, so that what was added is switched off at first: a divided network starts as the
    image ViT on every frame; an axial or a sparse one as that ViT with only the last of its
    attentions, which sees a column, or a lattice of patches.
    """
    origins = {name: spatial_name(name) for name in wanted if name not in state}
    return {name: state[origin] for name, origin in origins.items() if origin in state}


def spatial_name(name: str) -> str:
    """``blocks.0.temporal_attn.qkv.weight`` to ``blocks.0.attn.qkv.weight``; others unchanged."""
    return ADDED.sub(r"\1.\2.", name)
