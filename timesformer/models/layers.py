"""The four parts every block is made of: patches, attention, MLP, stochastic depth.

Dimensions: B batch, C channels, T frames, H W pixels, h w rows and columns of patches, N = h*w
patches, D width, P patch side; inside attention S is the length of any sequence and d = D / heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timesformer.errors import UserError


class PatchEmbed(nn.Module):
    """Cuts every frame into P x P patches and projects each to a token (paper section 2, eq. 1)."""

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.in_chans = in_chans
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, clip: Tensor) -> Tensor:
        """Float (B, C, T, H, W) to (B, T, h, w, D); UserError if the clip does not fit the grid."""
        check_clip(clip, self.in_chans)
        check_divisible(clip.shape[3], clip.shape[4], self.patch_size)
        batch, _, frames, _, _ = clip.shape
        images = clip.transpose(1, 2).flatten(0, 1)  # (B*T, C, H, W)
        patches = self.proj(images).permute(0, 2, 3, 1)  # (B*T, h, w, D)
        return patches.unflatten(0, (batch, frames))  # (B, T, h, w, D)


def check_clip(clip: Tensor, in_chans: int) -> None:
    """UserError unless `clip` is (B, C, T, H, W)."""
    if clip.ndim != 5 or clip.shape[1] != in_chans:
        raise UserError(
            f"The model takes clips of shape (batch, {in_chans}, frames, height, width), and this "
            f"one has {tuple(clip.shape)}."
        )


def check_divisible(height: int, width: int, patch_size: int) -> None:
    """UserError unless the frame is a whole number of patches high and wide."""
    if height % patch_size or width % patch_size:
        raise UserError(
            f"Frames of {height} x {width} pixels do not divide into patches of {patch_size}: "
            f"choose a height and a width that are multiples of {patch_size}."
        )


class Attention(nn.Module):
    """Multi-head self-attention over whole sequences (paper section 2, eq. 5 to 8)."""

    def __init__(
        self, dim: int, num_heads: int, *, qkv_bias: bool, drop_rate: float, attn_drop_rate: float
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise UserError(
                f"The width {dim} (embed_dim) does not divide over {num_heads} attention heads "
                "(num_heads): make it a multiple of them."
            )
        self.num_heads = num_heads
        self.attn_drop_rate = attn_drop_rate
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        """Every sequence attends within itself.

        Args:
            x: (B, S, D); or (B, S, G, D), G sequences that lie side by side in memory.
            only_first: the outcome of the first token of each sequence alone.

        Returns:
            The shape of `x`; with a single token, S = 1, for `only_first`.
        """
        if only_first:
            first = x[:, :1]
            queries, (keys, values) = self.project(first, 0, 1)[0], self.project(x, 1, 3)
        else:
            first = x
            queries, keys, values = self.project(x, 0, 3)
        # The fused kernels never hold the S x S matrix, which is what joint attention runs out of.
        mixed = attend(queries, keys, values, self.attn_drop_rate if self.training else 0.0)
        return self.proj_drop(self.proj(mixed.reshape(first.shape)))

    def project(self, x: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
        """Those of queries, keys and values from `start` to `stop`, each (B, S, G * heads, d).

        Sequences side by side become so many more heads, without a copy of their tokens: for that
        a token's queries, keys and values have to lie together head by head, and the few rows of
        the weight are put into that order instead. So `qkv` lends its weight and is not called.
        """
        number, dim = stop - start, self.qkv.in_features
        weight: Tensor = self.qkv.weight
        bias: Tensor | None = self.qkv.bias
        if number < 3:
            weight = weight[start * dim : stop * dim]
            bias = None if bias is None else bias[start * dim : stop * dim]
        if x.ndim == 3:
            parts = F.linear(x, weight, bias).unflatten(2, (number, self.num_heads, -1))
            return parts.unbind(2)
        weight = by_head(weight, number, self.num_heads)
        bias = None if bias is None else by_head(bias, number, self.num_heads)
        parts = F.linear(x, weight, bias).unflatten(3, (self.num_heads, number, -1))
        return parts.flatten(2, 3).unbind(3)


def by_head(rows: Tensor, number: int, num_heads: int) -> Tensor:
    """From all heads of the queries, then of the keys, …, to all of the first head, then … ."""
    return rows.unflatten(0, (number, num_heads, -1)).transpose(0, 1).flatten(0, 2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, drop_rate: float) -> Tensor:
    """Softmax attention; all (B, S, heads, d), of which the queries may be fewer."""
    number, length = keys.shape[:2]
    packed = 1
    if queries.is_cuda and queries.shape[1] == length:
        packed = largest_divisor(number, GPU_TILE // length)
    mask = None
    if packed > 1:
        queries, keys, values = (in_a_row(part, packed) for part in (queries, keys, values))
        mask = same_sequence(packed, length, queries.device)
    mixed = F.scaled_dot_product_attention(
        queries.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=mask,
        dropout_p=drop_rate,
    ).transpose(1, 2)
    return mixed.unflatten(1, (packed, length)).flatten(0, 1) if packed > 1 else mixed


GPU_TILE = 128
"""Tokens that a GPU's attention kernels take up at a time. Shorter sequences, of which temporal
attention has thousands, leave the rest of that idle; so as many as fit are put in a row, where a
mask keeps them apart."""


def in_a_row(sequences: Tensor, number: int) -> Tensor:
    """(B, S, heads, d) to (B / number, number * S, heads, d), without moving anything."""
    return sequences.unflatten(0, (-1, number)).flatten(1, 2)


def same_sequence(number: int, length: int, device: torch.device) -> Tensor:
    """bool (number * length, number * length): whether two tokens are of the same sequence."""
    sequence = torch.arange(number * length, device=device) // length
    return sequence[:, None] == sequence


def largest_divisor(number: int, limit: int) -> int:
    """Of `number`, at most `limit`; at least 1."""
    return next((n for n in range(limit, 1, -1) if number % n == 0), 1)


class Mlp(nn.Module):
    """Two linear layers around an exact GELU (paper section 2, eq. 9)."""

    def __init__(self, dim: int, hidden_dim: int, *, drop_rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act: nn.Module = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, zeroes whole rows of a residual branch.

    A row is what some dimensions count: clips, frames or patches, as the caller chooses.
    Kept rows are scaled by 1 / (1 - rate): the expectation stays.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.is_on = rate > 0
        # A tensor: blocks that differ in a number alone would each be compiled anew.
        self.register_buffer("keep", torch.tensor(1.0 - rate), persistent=False)

    def forward(self, x: Tensor, each: tuple[int, ...] = (0,)) -> Tensor:
        """`each`: the dimensions of `x` that count rows."""
        if not (self.is_on and self.training):
            return x
        keep = self.get_buffer("keep")
        rows = keep.expand([n if dim in each else 1 for dim, n in enumerate(x.shape)])
        return x * rows.bernoulli().div_(keep).to(x.dtype)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"
