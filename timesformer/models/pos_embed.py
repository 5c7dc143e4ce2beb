"""Position embeddings: their first values, and the one place where they are resized.

Dimensions: T frames, h w rows and columns of patches, N = h*w patches, D width.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timesformer.errors import UserError

INITS = ("normal", "sincos")
WAVELENGTH = 10_000  # the longest, over 2 pi, in patches or frames (arXiv 1706.03762)

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


def draw(embedding: Tensor, axes: tuple[int, ...], init: str, std: float) -> None:
    """Gives an embedding its first values, in place.

    Args:
        embedding: (1, S, D) with S the product of `axes`, or one more for a class position, which
            comes first.
        axes: what the positions count: (h, w), or (T,).
        init: "normal"; or "sincos": sines and cosines of the place along each axis, as
            arXiv 1706.03762 and, in two dimensions, 2104.02057; the class position is zero.
        std: standard deviation, or root mean square of the sines; 0 for zeros.

    Raises:
        UserError: another `init`, or a width D that sines and cosines cannot share.
    """
    if init not in INITS:
        raise UserError(f"An embedding cannot start as '{init}'; choose {' or '.join(INITS)}.")
    if init == "normal":
        nn.init.normal_(embedding, std=std)
        return
    waves = sines_and_cosines(axes, embedding.shape[2]) * (std * math.sqrt(2))
    with torch.no_grad():
        embedding.zero_()
        embedding[0, embedding.shape[1] - len(waves) :] = waves


def sines_and_cosines(axes: tuple[int, ...], dim: int) -> Tensor:
    """(product of `axes`, `dim`): an equal share of the width for each axis, half of it sines."""
    share, rest = divmod(dim, 2 * len(axes))
    if rest:
        raise UserError(
            f"A width of {dim} (embed_dim) does not divide into sines and cosines along "
            f"{len(axes)} axes: make it a multiple of {2 * len(axes)}, or start from 'normal'."
        )
    frequencies = WAVELENGTH ** -(torch.arange(share) / share)
    places = torch.cartesian_prod(*(torch.arange(n) for n in axes)).view(-1, len(axes))
    angles = places[:, :, None] * frequencies  # (S, axes, share)
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)
