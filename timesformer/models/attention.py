"""The attention schemes of the paper (section 3, figure 1): one block class each, side by side.

Dimensions: B batch, T frames, h w rows and columns of patches, N = h*w patches, D width.

The tokens of a clip are the class token, then the patches, all frames of the first patch before the
second patch (as the released checkpoints' time embedding expects). A new scheme is a subclass of
`Block`, registered under its name; how its tokens lie from block to block is its own affair.

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
    """Pre-norm attention and MLP over whole sequences: the block of an image ViT.

    `arrange` says how the tokens of a clip lie in the tensor that goes from block to block, and
    `cls_token_of` and `patches_of` where they are to be found: a scheme may lay them out as its
    attention likes to read them.
    """

    embeds_time: ClassVar[bool] = True
    attentions_with_fc: ClassVar[tuple[str, ...]] = ()
    """X of each ``X_fc`` that takes what ``X_attn.proj`` gives, but for means and dropping:
    two linear layers that inference may take for one (`fold.folded`)."""

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__()
        self.norm1 = spec.norm()
        self.attn = spec.attention()
        self.drop_path = DropPath(drop_path_rate)
        self.norm2 = spec.norm()
        self.mlp = spec.mlp()

    @staticmethod
    def arrange(cls_token: Tensor, patches: Tensor) -> Tensor:
        """The tokens of clips: (B, 1, D) and (B, N, T, D) to (B, 1 + N*T, D)."""
        return torch.cat([cls_token, patches.flatten(1, 2)], dim=1)

    @staticmethod
    def cls_token_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, D); or (B, T, D) where every frame has one of its own."""
        return tokens[:, 0]

    @staticmethod
    def patches_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, N, T, D)."""
        return tokens[:, 1:].unflatten(1, (grid.patches, grid.frames))

    def forward(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool = False) -> Tensor:
        """Tokens to tokens, of the same shape.

        Args:
            tokens: as `arrange` lays them out.
            grid: how the patches lie in the clip.
            only_cls: the outcome for the class token alone, in whose shape the patches are missing:
                all that is wanted of the last block. It is the same but for rounding.
        """
        tokens = plus(tokens, self.drop_path(self.attn(self.norm1(tokens), only_first=only_cls)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


def plus(tokens: Tensor, update: Tensor) -> Tensor:
    """A residual of all tokens, or of the first alone where `update` is of no others."""
    return tokens[:, : update.shape[1]] + update


@ATTENTION_SCHEMES.register("space_only")
class SpaceOnlyBlock(Block):
    """S: a token sees its own frame. The network averages over frames after the last block.

    Every frame is a sequence of its own, and time is not embedded.
    """

    embeds_time = False

    @staticmethod
    def arrange(cls_token: Tensor, patches: Tensor) -> Tensor:
        """(B, 1, D) and (B, N, T, D) to (B*T, 1 + N, D)."""
        frames = patches.transpose(1, 2).flatten(0, 1)  # (B*T, N, D)
        copies = cls_token.expand(-1, patches.shape[2], -1).flatten(0, 1)[:, None]
        return torch.cat([copies, frames], dim=1)

    @staticmethod
    def cls_token_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, T, D)."""
        return tokens[:, 0].unflatten(0, (-1, grid.frames))

    @staticmethod
    def patches_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, N, T, D)."""
        return tokens[:, 1:].unflatten(0, (-1, grid.frames)).transpose(1, 2)


@ATTENTION_SCHEMES.register("joint_space_time")
class JointSpaceTimeBlock(Block):
    """ST: every token sees every token of the clip, at a cost that grows with (N*T)^2."""


@ATTENTION_SCHEMES.register("divided_space_time")
class DividedSpaceTimeBlock(Block):
    """T+S: a patch sees its own place in all frames, then its own frame (paper eq. 10 and 11).

    As in the released code and unlike the paper, the class token stays out of temporal attention.
    Stochastic depth drops single patches in the temporal branch, single frames in the spatial one.

    The tokens lie as (B, 1 + N, T, D), the class token as a patch that all frames have a copy of.
    So each of the two attentions reads what it needs as it lies: no token is moved in a block. The
    copies are kept equal, at the price of T - 1 tokens more in the other layers.
    """

    attentions_with_fc: ClassVar[tuple[str, ...]] = ("temporal",)

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.temporal_norm1 = spec.norm()
        self.temporal_attn = spec.attention()
        self.temporal_fc = spec.linear()

    @staticmethod
    def arrange(cls_token: Tensor, patches: Tensor) -> Tensor:
        """(B, 1, D) and (B, N, T, D) to (B, 1 + N, T, D)."""
        copies = cls_token[:, :, None].expand(-1, -1, patches.shape[2], -1)  # (B, 1, T, D)
        return torch.cat([copies, patches], dim=1)

    @staticmethod
    def cls_token_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, D)."""
        return tokens[:, 0, 0]

    @staticmethod
    def patches_of(tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, N, T, D)."""
        return tokens[:, 1:]

    def forward(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool = False) -> Tensor:
        tokens = tokens + self.over_time(tokens)
        tokens = plus(tokens, self.over_space(tokens, grid, only_cls=only_cls))
        update = self.drop_path(self.mlp(self.norm2(tokens)))
        if self.training and self.mlp.drop.p:
            update[:, 0] = update[:, 0, :1]  # its copies had each a draw of its own
        return tokens + update

    def over_time(self, tokens: Tensor) -> Tensor:
        """What temporal attention adds: (B, 1 + N, T, D), zeros for the class token."""
        series = self.temporal_norm1(tokens).flatten(0, 1)  # (B*(1+N), T, D)
        update = self.temporal_fc(self.drop_path(self.temporal_attn(series)))
        update = update.unflatten(0, tokens.shape[:2])
        update[:, 0] = 0
        return update

    def over_space(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool) -> Tensor:
        """What spatial attention adds: (B, 1 + N, T, D)."""
        update = self.attn(self.norm1(tokens), only_first=only_cls)
        update = self.drop_path(update, each=(0, 2))
        update[:, 0] = update[:, 0].mean(dim=1, keepdim=True)
        return update


@ATTENTION_SCHEMES.register("axial")
class AxialBlock(DividedSpaceTimeBlock):
    """T+W+H: a patch sees its own place in all frames, then its row, then its column of its frame.

    The paper names the three steps and their order; the rest is read as in divided attention: the
    class token joins rows and columns, and a linear layer follows each step but the last.
    Stochastic depth drops single patches in time, then single rows, then single columns.
    """

    attentions_with_fc = ("temporal", "width")

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.width_norm1 = spec.norm()
        self.width_attn = spec.attention()
        self.width_fc = spec.linear()

    def over_space(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool) -> Tensor:
        along_width = self.width_fc(self.over_rows(self.width_norm1(tokens), grid))
        columns = self.norm1(tokens + along_width)
        along_height = self.over_columns(columns, grid, only_cls=only_cls)
        return along_width[:, : along_height.shape[1]] + along_height

    def over_rows(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, 1 + N, T, D) to the same."""
        rows = tokens[:, 1:].unflatten(1, (grid.height, grid.width))  # (B, h, w, T, D)
        copies = tokens[:, None, :1].expand(-1, grid.height, -1, -1, -1)  # (B, h, 1, T, D)
        sequences = torch.cat([copies, rows], dim=2).flatten(0, 1)  # (B*h, 1 + w, T, D)
        update = self.drop_path(self.width_attn(sequences), each=(0, 2))
        update = update.unflatten(0, rows.shape[:2])  # (B, h, 1 + w, T, D)
        cls_update = update[:, :, 0].mean(dim=(1, 2), keepdim=True)  # (B, 1, 1, D)
        return self.arrange(cls_update[:, 0], update[:, :, 1:].flatten(1, 2))

    def over_columns(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool) -> Tensor:
        """(B, 1 + N, T, D) to the same, or to the class token's (B, 1, T, D)."""
        columns = tokens[:, 1:].unflatten(1, (grid.height, -1)).flatten(2, 3)  # (B, h, w*T, D)
        copies = tokens[:, :1, :1].expand(-1, -1, columns.shape[2], -1)  # (B, 1, w*T, D)
        sequences = torch.cat([copies, columns], dim=1)  # (B, 1 + h, w*T, D)
        update = self.drop_path(self.attn(sequences, only_first=only_cls), each=(0, 2))
        cls_update = update[:, :1].mean(dim=2)  # (B, 1, D)
        patches = update[:, 1:].unflatten(2, (grid.width, -1)).flatten(1, 2)  # (B, N, T, D)
        return self.arrange(cls_update, patches)


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

    attentions_with_fc = ("local",)

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.local_norm1 = spec.norm()
        self.local_attn = spec.attention()
        self.local_fc = spec.linear()

    def forward(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool = False) -> Tensor:
        tokens = tokens + self.local_fc(self.over_windows(tokens, grid))
        tokens = plus(tokens, self.over_lattices(tokens, grid, only_cls=only_cls))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def over_windows(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        """(B, 1 + N*T, D)."""
        return self.within(self.local_attn, self.local_norm1(tokens), grid, windows(grid))

    def over_lattices(self, tokens: Tensor, grid: TokenGrid, *, only_cls: bool) -> Tensor:
        """(B, 1 + N*T, D), or the class token's (B, 1, D)."""
        return self.within(self.attn, self.norm1(tokens), grid, lattices(grid), only_cls)

    def within(
        self,
        attention: Attention,
        tokens: Tensor,
        grid: TokenGrid,
        groups: list[Slices],
        only_cls: bool = False,
    ) -> Tensor:
        """(B, 1 + N*T, D) to the same: the patches of each group attend among themselves."""
        cls_token, patches = tokens[:, :1], on_grid(tokens[:, 1:], grid)
        update = torch.empty_like(patches)
        cls_updates = []
        for rows, columns, frames in groups:
            group = patches[:, rows, columns, frames]  # (B, h', w', T', D)
            sequence = torch.cat([cls_token, group.flatten(1, 3)], dim=1)
            outcome = self.drop_path(attention(sequence, only_first=only_cls))
            cls_updates.append(outcome[:, :1])
            if not only_cls:
                update[:, rows, columns, frames] = outcome[:, 1:].unflatten(1, group.shape[1:4])
        cls_update = torch.stack(cls_updates).mean(dim=0)  # (B, 1, D)
        return cls_update if only_cls else torch.cat([cls_update, update.flatten(1, 3)], dim=1)


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
