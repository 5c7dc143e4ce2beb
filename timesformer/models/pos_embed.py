"""Position embeddings at another size: the one place where they are resized.

Dimensions: T frames, h w rows and columns of patches, N = h*w patches, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SpatialMode = Literal["nearest", "bicubic"]


def resize_spatial(
    pos_embed: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    mode: SpatialMode = "nearest",
) -> Tensor:
    """Position embedding of another patch grid; the class position, which comes first, stays.

    Args:
        pos_embed: float (1, 1 + N, D), N = the product of `source`.
        source, target: (h, w) of the two grids.
        mode: "nearest" is what the released code does to inputs of another size; "bicubic" is
            smoother (antialiased where the grid shrinks) and what image ViTs are resized with.

    Returns:
        (1, 1 + N', D) of the same dtype; `pos_embed` itself where the grids are equal.
    """
    if source == target:
        return pos_embed
    cls_pos, patch_pos = pos_embed[:, :1], pos_embed[:, 1:]
    plane = patch_pos.unflatten(1, source).permute(0, 3, 1, 2)  # (1, D, h, w)
    plane = F.interpolate(plane.float(), size=target, mode=mode, antialias=mode == "bicubic")
    patch_pos = plane.flatten(2).transpose(1, 2)  # (1, N', D)
    return torch.cat([cls_pos, patch_pos.to(cls_pos.dtype)], dim=1)


def resize_temporal(time_embed: Tensor, num_frames: int) -> Tensor:
    """Time embedding (1, T, D) as (1, num_frames, D) by nearest neighbour, as released."""
    if time_embed.shape[1] == num_frames:
        return time_embed
    line = F.interpolate(time_embed.transpose(1, 2), size=num_frames, mode="nearest")  # (1, D, T')
    return line.transpose(1, 2)
