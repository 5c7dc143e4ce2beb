"""The attention schemes of the paper (section 3, figure 1): one block class each, side by side.

Dimensions: B batch, T frames, h w rows and columns of patches, N = h*w patches, D width.

The tokens of a clip are (B, 1 + N*T, D): the class token, then the patches, all frames of the first
patch before the second patch (as the released checkpoints' time embedding expects). A new scheme is
a subclass of `Block`, registered under its name, whose `forward` keeps that shape.
"""

from __future__ import annotations

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

    def mlp(self) -> Mlp:
        return Mlp(self.dim, int(self.dim * self.mlp_ratio), drop_rate=self.drop_rate)


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

    As in the released code and unlike the paper, the class token stays out of temporal attention;
    in spatial attention it joins every frame, and its T outcomes are averaged. Stochastic depth
    drops single patches in the temporal branch and single frames in the spatial one.
    """

    def __init__(self, spec: BlockSpec, drop_path_rate: float) -> None:
        super().__init__(spec, drop_path_rate)
        self.temporal_norm1 = spec.norm()
        self.temporal_attn = spec.attention()
        self.temporal_fc = nn.Linear(spec.dim, spec.dim)

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
        frames = split_frames(self.norm1(tokens), grid)
        return merge_frames(self.drop_path(self.attn(frames)), grid)


def split_frames(tokens: Tensor, grid: TokenGrid) -> Tensor:
    """(B, 1 + N*T, D) to (B*T, 1 + N, D): one sequence per frame, the class token in each."""
    cls_tokens = tokens[:, None, :1].expand(-1, grid.frames, -1, -1)  # (B, T, 1, D)
    patches = tokens[:, 1:].unflatten(1, (grid.patches, grid.frames))  # (B, N, T, D)
    frames = torch.cat([cls_tokens, patches.transpose(1, 2)], dim=2)  # (B, T, 1 + N, D)
    return frames.flatten(0, 1)  # (B*T, 1 + N, D)


def merge_frames(frames: Tensor, grid: TokenGrid) -> Tensor:
    """(B*T, 1 + N, D) to (B, 1 + N*T, D): `split_frames` undone, its class tokens averaged."""
    frames = frames.unflatten(0, (-1, grid.frames))  # (B, T, 1 + N, D)
    cls_token = frames[:, :, 0].mean(dim=1, keepdim=True)  # (B, 1, D)
    patches = frames[:, :, 1:].transpose(1, 2).flatten(1, 2)  # (B, N*T, D)
    return torch.cat([cls_token, patches], dim=1)  # (B, 1 + N*T, D)
