"""The four parts every block is made of: patches, attention, MLP, stochastic depth.

Dimensions: B batch, C channels, T frames, H W pixels, h w rows and columns of patches, N = h*w
patches, D width, P patch side; inside attention S is the length of any sequence and d = D / heads.
"""

from __future__ import annotations

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

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, D) to (B, S, D); each sequence of the batch attends within itself."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, S, 3, heads, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, S, d)
        # The fused kernels never hold the S x S matrix, which is what joint attention runs out of.
        mixed = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop_rate if self.training else 0.0
        )
        mixed = mixed.transpose(1, 2).flatten(2)  # (B, S, D)
        return self.proj_drop(self.proj(mixed))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU (paper section 2, eq. 9)."""

    def __init__(self, dim: int, hidden_dim: int, *, drop_rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class DropPath(nn.Module):
    """Stochastic depth (arXiv 1603.09382): in training, zeroes whole rows of a residual branch.

    A row is what the first dimension counts, so the caller chooses by its reshape whether a clip, a
    frame or a patch is dropped. Kept rows are scaled by 1 / (1 - rate): the expectation stays.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3f}"
