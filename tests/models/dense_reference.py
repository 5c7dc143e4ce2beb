"""Every attention scheme once more, slowly: one N x N softmax under an explicit mask, no batch.

Dimensions: T frames, N patches, D width, S tokens. A token is known by its (patch, frame), and the
class token by CLASS; the masks are built from those names alone, one pair of tokens at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from timesformer.models.attention import Block, DividedSpaceTimeBlock, TokenGrid
from timesformer.models.layers import Attention

CLASS = -1
Token = tuple[int, int]  # (patch or CLASS, frame)


def masked_attention(
    attention: Attention, x: Tensor, tokens: list[Token], sees: Callable[[Token, Token], bool]
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
    tokens = patch_tokens(grid)
    cls_token, patches = x[:1], x[1:]
    seen = masked_attention(block.temporal_attn, block.temporal_norm1(patches), tokens, same_patch)
    patches = patches + block.temporal_fc(seen)

    copies = [(CLASS, frame) for frame in range(grid.frames)]
    x = torch.cat([cls_token.repeat(grid.frames, 1), patches])
    seen = masked_attention(block.attn, block.norm1(x), copies + tokens, same_frame)
    cls_token = cls_token + seen[: grid.frames].mean(dim=0)
    x = torch.cat([cls_token, patches + seen[grid.frames :]])
    return x + block.mlp(block.norm2(x))


REFERENCES = {
    "joint_space_time": joint_space_time,
    "space_only": space_only,
    "divided_space_time": divided_space_time,
}
