"""From an image ViT to a video network: how temporal attention gets its first weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

INFLATED_FROM = {"temporal_attn": "attn", "temporal_norm1": "norm1"}
"""Each temporal module of a block and the spatial one that it starts as a copy of (released)."""


def knows_time(names: Iterable[str]) -> bool:
    """Whether these are the parameter names of a network with attention over time alone."""
    return any(".temporal_" in name for name in names)


def inflate(state: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The tensors among `wanted` that the image ViT `state` lacks and that copies of it can fill.

    ``blocks.i.temporal_attn.*`` and ``blocks.i.temporal_norm1.*`` are copied from ``attn`` and
    ``norm1`` of the same block. ``temporal_fc`` and ``time_embed`` have no counterpart in an image
    network and keep the new network's values (zeros unless asked otherwise, which makes the
    inflated network start as the image ViT on every frame).
    """
    origins = {name: spatial_name(name) for name in wanted if name not in state}
    return {name: state[origin] for name, origin in origins.items() if origin in state}


def spatial_name(name: str) -> str:
    """``blocks.0.temporal_attn.qkv.weight`` to ``blocks.0.attn.qkv.weight``; others unchanged."""
    return ".".join(INFLATED_FROM.get(part, part) for part in name.split("."))
