"""Every attention scheme once more, slowly: one N x N softmax under an explicit mask, no batch.

Dimensions: T frames, N patches, D width, S tokens. A token is known by its (patch, frame), and the
class token by CLASS; the masks are built from those names alone, one pair of tokens at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from timesformer.models.attention import (
    AxialBlock,
    Block,
    DividedSpaceTimeBlock,
    JointSpaceTimeBlock,
    SpaceOnlyBlock,
    SparseLocalGlobalBlock,
    TokenGrid,
)
from timesformer.models.layers import Attention

CLASS = -1
Token = tuple[int, int]  # (patch or CLASS, frame)
Group = tuple[int, ...]  # the name of a set of tokens that see each other


def masked_attention(
    attention: Attention, x: Tensor, tokens: Sequence[Any], sees: Callable[[Any, Any], bool]
) -> Tensor:
    """(S, D) to (S, D): token i mixes the values of every token j that it `sees`."""
    mask = torch.tensor([[sees(query, key) for key in tokens] for query in tokens])
    q, k, v = attention.qkv(x).chunk(3, dim=1)
    width = x.shape[1] // attention.num_heads
    heads = []
    for head in range(attention.num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = q[:, part] @ k[:, part].T / math.sqrt(width)
        heads.append(scores.masked_fill(~mask, -math.inf).softmax(dim=1) @ v[:, part])
    return attention.proj(torch.cat(heads, dim=1))


def patch_tokens(grid: TokenGrid) -> list[Token]:
    """The order of patch tokens in a clip: all frames of a patch before the next patch."""
    return [(patch, frame) for patch in range(grid.patches) for frame in range(grid.frames)]


def same_patch(a: Token, b: Token) -> bool:
    return a[0] == b[0]


def same_frame(a: Token, b: Token) -> bool:
    return a[1] == b[1]


def anywhere(a: Token, b: Token) -> bool:
    return True


def joint_space_time(block: Block, x: Tensor, grid: TokenGrid) -> Tensor:
    """(1 + N*T, D): one softmax over the clip."""
    tokens = [(CLASS, 0), *patch_tokens(grid)]
    x = x + masked_attention(block.attn, block.norm1(x), tokens, anywhere)
    return x + block.mlp(block.norm2(x))


def space_only(block: Block, x: Tensor, grid: TokenGrid) -> Tensor:
    """(T * (1 + N), D), frame after frame, each with its own class token."""
    tokens = [(p, t) for t in range(grid.frames) for p in [CLASS, *range(grid.patches)]]
    x = x + masked_attention(block.attn, block.norm1(x), tokens, same_frame)
    return x + block.mlp(block.norm2(x))


def divided_space_time(block: DividedSpaceTimeBlock, x: Tensor, grid: TokenGrid) -> Tensor:
    """(1 + N*T, D): patches along time without the class token, then frames with a copy of it."""
    x = along_time(block, x, grid)
    x = x + grouped_attention(block.attn, block.norm1(x), grid, frame_of)
    return x + block.mlp(block.norm2(x))


def axial(block: AxialBlock, x: Tensor, grid: TokenGrid) -> Tensor:
    """(1 + N*T, D): time without the class token, then rows, then columns, with copies of it."""
    x = along_time(block, x, grid)
    x = x + block.width_fc(grouped_attention(block.width_attn, block.width_norm1(x), grid, row_of))
    x = x + grouped_attention(block.attn, block.norm1(x), grid, column_of)
    return x + block.mlp(block.norm2(x))


def sparse_local_global(block: SparseLocalGlobalBlock, x: Tensor, grid: TokenGrid) -> Tensor:
    """(1 + N*T, D): quarters of the picture through all frames, then lattices of stride 2."""
    local = grouped_attention(block.local_attn, block.local_norm1(x), grid, quarter_of)
    x = x + block.local_fc(local)
    x = x + grouped_attention(block.attn, block.norm1(x), grid, lattice_of)
    return x + block.mlp(block.norm2(x))


def along_time(block: DividedSpaceTimeBlock, x: Tensor, grid: TokenGrid) -> Tensor:
    patches, tokens = x[1:], patch_tokens(grid)
    seen = masked_attention(block.temporal_attn, block.temporal_norm1(patches), tokens, same_patch)
    return torch.cat([x[:1], patches + block.temporal_fc(seen)])


def grouped_attention(
    attention: Attention, x: Tensor, grid: TokenGrid, group_of: Callable[[Token, TokenGrid], Group]
) -> Tensor:
    """(1 + N*T, D): a patch sees its group and the group's own copy of the class token.

    The outcomes of the copies are averaged.
    """
    groups = [group_of(token, grid) for token in patch_tokens(grid)]
    copies = sorted(set(groups))
    x = torch.cat([x[:1].repeat(len(copies), 1), x[1:]])
    seen = masked_attention(attention, x, copies + groups, lambda a, b: a == b)
    return torch.cat([seen[: len(copies)].mean(dim=0, keepdim=True), seen[len(copies) :]])


def place(token: Token, grid: TokenGrid) -> tuple[int, int, int]:
    """Frame, row and column."""
    return token[1], token[0] // grid.width, token[0] % grid.width


def frame_of(token: Token, grid: TokenGrid) -> Group:
    return (token[1],)


def row_of(token: Token, grid: TokenGrid) -> Group:
    return place(token, grid)[:2]


def column_of(token: Token, grid: TokenGrid) -> Group:
    frame, _, column = place(token, grid)
    return frame, column


def quarter_of(token: Token, grid: TokenGrid) -> Group:
    _, row, column = place(token, grid)
    return int(row >= math.ceil(grid.height / 2)), int(column >= math.ceil(grid.width / 2))


def lattice_of(token: Token, grid: TokenGrid) -> Group:
    return tuple(i % 2 for i in place(token, grid))


REFERENCES: dict[type[Block], Callable[..., Tensor]] = {
    JointSpaceTimeBlock: joint_space_time,
    SpaceOnlyBlock: space_only,
    DividedSpaceTimeBlock: divided_space_time,
    SparseLocalGlobalBlock: sparse_local_global,
    AxialBlock: axial,
}
