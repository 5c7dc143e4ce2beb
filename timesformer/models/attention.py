"""The attention schemes of the paper (section 3, figure 1): one block class each, side by side.

Dimensions: B batch, T frames, h w rows and columns of patches, N = h*w patches, D width.

The tokens of a clip are (B, 1 + N*T, D): the class token, then the patches, all frames of the first
patch before the second patch (as the released checkpoints' time embedding expects). A new scheme is
a subclass of `Block`, registered under its name, whose `forward` keeps that shape.

A scheme with several attentions in a block takes one after the other, each with a residual of its
own. The last is `attn`, under the name it has in an image ViT; one before it is called after what
it looks along, and the layer X of its parameters ``X_norm1``, ``X_attn``, ``X_fc``.

The class token belongs to no place and no time. Where patches attend in groups that lie in space
(frames, rows, columns, windows, lattices), a copy of it joins every group, and what becomes of the
copies is averaged; it stays out of attention along time alone. So the released code does it for
divided attention; the paper leaves it open for the sparse and the axial scheme.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from timesformer.models.layers import Attention, DropPath, Mlp
from timesformer.registry import Registry

LAYER_NORM_EPS = 1e-6  # the ViT value; PyTorch's own default is 1e-5

ATTENTION_SCHEMES: Registry[type[Block]] = Registry("attention type")


class TokenGrid(NamedTuple):
    """How many tokens a clip has along time, height and width."""

    frames: int
    height: int
    width: int

    @property
    def patches(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class BlockSpec:
    """What the blocks of a network have in common, and the parts they are built from."""

    dim: int
    num_heads: int
    mlp_ratio: float
    qkv_bias: bool
    drop_rate: float
    attn_drop_rate: float

    def attention(self) -> Attention:
        return Attention(
            self.dim,
            self.num_heads,
            qkv_bias=self.qkv_bias,
            drop_rate=self.drop_rate,
            attn_drop_rate=self.attn_drop_rate,
        )

    def norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.dim, eps=LAYER_NORM_EPS)

    def linear(self) -> nn.Linear:
        return nn.Linear(self.dim, self.dim)

    def mlp(self) -> Mlp:
        return Mlp(self.dim, round(self.dim * self.mlp_ratio), drop_rate=self.drop_rate)


class Block(nn.Module):
    """Pre-norm attention and MLP over whole sequences: the block of an image ViT."""

    per_frame: ClassVar[bool] = False
    """True: every frame is a sequence of its own, (B*T, 1 + N, D), and time is not embedded."""

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__()
        self.norm1 = spec.norm()
        self.attn = spec.attention()
        self.drop_path = DropPath(drop_path_rate)
        self.norm2 = spec.norm()
        self.mlp = spec.mlp()

    def forward(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        """Tokens to tokens, same shape; `grid` says how the patch tokens lie in the clip."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


@ATTENTION_SCHEMES.register("space_only")
class SpaceOnlyBlock(Block):
    """S: a token sees its own frame. The network averages over frames after the last block."""

    per_frame = True


@ATTENTION_SCHEMES.register("joint_space_time")
class JointSpaceTimeBlock(Block):
    """ST: every token sees every token of the clip, at a cost that grows with (N*T)^2."""


@ATTENTION_SCHEMES.register("divided_space_time")
class DividedSpaceTimeBlock(Block):
    """T+S: a patch sees its own place in all frames, then its own frame (paper eq. 10 and 11).

    As in the released code and unlike the paper, the class token stays out of temporal attention.
    Stochastic depth drops single patches in the temporal branch, single frames in the spatial one.
    """

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.temporal_norm1 = spec.norm()
        self.temporal_attn = spec.attention()
        self.temporal_fc = spec.linear()

    def forward(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        cls_token, patches = tokens[:, :1], tokens[:, 1:]
        patches = patches + self.over_time(patches, grid)
        tokens = torch.cat([cls_token, patches], dim=1)  # (B, 1 + N*T, D)
        tokens = tokens + self.over_space(tokens, grid)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def over_time(self, patches: Tensor, grid: TokenGrid) -> Tensor:
        series = self.temporal_norm1(patches).unflatten(1, (grid.patches, grid.frames))
        series = series.flatten(0, 1)  # (B*N, T, D)
        update = self.temporal_fc(self.drop_path(self.temporal_attn(series)))
        return update.reshape(patches.shape)  # (B, N*T, D)

    def over_space(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        cls_token, patches = self.norm1(tokens).split([1, grid.patches * grid.frames], dim=1)
        frames = patches.unflatten(1, (grid.patches, grid.frames)).transpose(1, 2)  # (B, T, N, D)
        cls_token, frames = self.within(self.attn, cls_token, frames)
        return torch.cat([cls_token, frames.transpose(1, 2).flatten(1, 2)], dim=1)

    def within(
        self, attention: Attention, cls_token: Tensor, groups: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, 1, D) and (B, G, S, D) to the same shapes: every group attends within itself."""
        copies = cls_token[:, None].expand(-1, groups.shape[1], -1, -1)  # (B, G, 1, D)
        sequences = torch.cat([copies, groups], dim=2).flatten(0, 1)  # (B*G, 1 + S, D)
        update = self.drop_path(attention(sequences)).unflatten(0, groups.shape[:2])
        return update[:, :, 0].mean(dim=1, keepdim=True), update[:, :, 1:]


@ATTENTION_SCHEMES.register("axial")
class AxialBlock(DividedSpaceTimeBlock):
    """T+W+H: a patch sees its own place in all frames, then its row, then its column of its frame.

    The paper names the three steps and their order; the rest is read as in divided attention: the
    class token joins rows and columns, and a linear layer follows each step but the last.
    Stochastic depth drops single patches in time, then single rows, then single columns.
    """

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.width_norm1 = spec.norm()
        self.width_attn = spec.attention()
        self.width_fc = spec.linear()

    def over_space(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        along_width = self.width_fc(self.over_rows(self.width_norm1(tokens), grid))
        return along_width + self.over_columns(self.norm1(tokens + along_width), grid)

    def over_rows(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        rows = on_grid(tokens[:, 1:], grid).permute(0, 1, 3, 2, 4)  # (B, h, T, w, D)
        cls_token, update = self.within(self.width_attn, tokens[:, :1], rows.flatten(1, 2))
        update = update.unflatten(1, rows.shape[1:3]).transpose(2, 3)  # (B, h, w, T, D)
        return torch.cat([cls_token, update.flatten(1, 3)], dim=1)

    def over_columns(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        columns = on_grid(tokens[:, 1:], grid).permute(0, 2, 3, 1, 4)  # (B, w, T, h, D)
        cls_token, update = self.within(self.attn, tokens[:, :1], columns.flatten(1, 2))
        update = update.unflatten(1, columns.shape[1:3]).permute(0, 3, 1, 2, 4)  # (B, h, w, T, D)
        return torch.cat([cls_token, update.flatten(1, 3)], dim=1)


@ATTENTION_SCHEMES.register("sparse_local_global")
class SparseLocalGlobalBlock(Block):
    """L+G: a patch sees its surroundings in all frames, then every second patch of the whole clip.

    The paper's local attention is over "the neighbouring F x H/2 x W/2 patches": read as the
    quarter of the picture that the patch lies in, through all frames. Its global attention has "a
    stride of 2" along time and both axes of space: read as the lattice of every second frame, row
    and column that the patch lies on. There are four windows and eight lattices; each window has
    patches of all lattices, so that after one block any patch can know of any other (from 4 x 4
    patches on; of fewer, through the class token). Odd sizes give windows and lattices of unlike
    sizes. Stochastic depth drops single windows, single lattices.
    """

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.local_norm1 = spec.norm()
        self.local_attn = spec.attention()
        self.local_fc = spec.linear()

    def forward(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        update = self.within(self.local_attn, self.local_norm1(tokens), grid, windows(grid))
        tokens = tokens + self.local_fc(update)
        tokens = tokens + self.within(self.attn, self.norm1(tokens), grid, lattices(grid))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def within(
        self, attention: Attention, tokens: Tensor, grid: TokenGrid, groups: list[Slices]
    ) -> Tensor:
        """(B, 1 + N*T, D) to the same: the patches of each group attend among themselves."""
        cls_token, patches = tokens[:, :1], on_grid(tokens[:, 1:], grid)
        update = torch.empty_like(patches)
        cls_updates = []
        for rows, columns, frames in groups:
            group = patches[:, rows, columns, frames]  # (B, h', w', T', D)
            sequence = torch.cat([cls_token, group.flatten(1, 3)], dim=1)
            outcome = self.drop_path(attention(sequence))
            cls_updates.append(outcome[:, :1])
            update[:, rows, columns, frames] = outcome[:, 1:].unflatten(1, group.shape[1:4])
        cls_update = torch.stack(cls_updates).mean(dim=0)  # (B, 1, D)
        return torch.cat([cls_update, update.flatten(1, 3)], dim=1)


Slices = tuple[slice, slice, slice]
"""Rows, columns and frames of a group of patches."""


def windows(grid: TokenGrid) -> list[Slices]:
    """The quarters of the picture, through all frames; fewer where it is one patch wide or high."""
    return [
        (rows, columns, slice(None))
        for rows in halves(grid.height)
        for columns in halves(grid.width)
    ]


def halves(length: int) -> list[slice]:
    """Two halves, the first of which has the middle; one where there is nothing to halve."""
    middle = (length + 1) // 2
    return [slice(0, middle), slice(middle, length)][:length]


def lattices(grid: TokenGrid) -> list[Slices]:
    """Every second row, column and frame, from each start that there is."""
    starts = itertools.product(*(range(min(2, n)) for n in (grid.height, grid.width, grid.frames)))
    return [(slice(y, None, 2), slice(x, None, 2), slice(t, None, 2)) for y, x, t in starts]


def on_grid(patches: Tensor, grid: TokenGrid) -> Tensor:
    """(B, N*T, D) to (B, h, w, T, D)."""
    return patches.unflatten(1, (grid.height, grid.width, grid.frames))
