"""Rollout from its definition: square matrices over all tokens of a clip, multiplied in order.

A second, slow network computes the logits with one N x N softmax under an explicit mask for each
attention; what each scheme looks at is said by names of groups, one pair of tokens at a time.

A clip's tokens are the class token, then the patches, all frames of the first patch before the
second; of a scheme without a clip-wide class token, each frame's class token before its patches.
Where groups have copies of the class token, an attention is over the copies and the patches, and
becomes one over tokens by `Tokens.merged`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tests.models.dense_reference import (
    CLASS,
    Group,
    Token,
    column_of,
    frame_of,
    lattice_of,
    patch_tokens,
    quarter_of,
    row_of,
)
from timesformer.models import VisionTransformer
from timesformer.models.attention import Block, TokenGrid


class Step(NamedTuple):
    """An attention of a block, its norm, the linear layer behind it, and who sees whom."""

    attention: str
    norm: str
    fc: str
    group_of: Callable[[Token, TokenGrid], Group]
    has_class: bool


def everything(token: Token, grid: TokenGrid) -> Group:
    return ()


def patch_of(token: Token, grid: TokenGrid) -> Group:
    return (token[0],)


TIME = Step("temporal_attn", "temporal_norm1", "temporal_fc", patch_of, False)
STEPS: dict[str, list[Step]] = {
    "space_only": [Step("attn", "norm1", "", frame_of, True)],
    "joint_space_time": [Step("attn", "norm1", "", everything, True)],
    "divided_space_time": [TIME, Step("attn", "norm1", "", frame_of, True)],
    "sparse_local_global": [
        Step("local_attn", "local_norm1", "local_fc", quarter_of, True),
        Step("attn", "norm1", "", lattice_of, True),
    ],
    "axial": [
        TIME,
        Step("width_attn", "width_norm1", "width_fc", row_of, True),
        Step("attn", "norm1", "", column_of, True),
    ],
}


@dataclass
class Layer:
    """One attention of the network: probabilities (heads, S, S) over copies and patches."""

    name: str
    probabilities: Tensor
    num_copies: int

    def merged(self, matrix: Tensor) -> Tensor:
        """(S, S) to the tokens' (1 + N*T, 1 + N*T): rows of copies averaged, columns summed."""
        copies = self.num_copies
        if copies == 0:  # the class token stays as it is
            return torch.block_diag(torch.zeros(1, 1).to(matrix), matrix)
        rows = torch.cat([matrix[:copies].mean(dim=0, keepdim=True), matrix[copies:]])
        return torch.cat([rows[:, :copies].sum(dim=1, keepdim=True), rows[:, copies:]], dim=1)


def dense_network(
    network: VisionTransformer, clip: Tensor
) -> tuple[Tensor, list[Layer], list[Token]]:
    """Logits (classes,) of one clip (1, C, T, H, W), the attentions, the names of the tokens."""
    name = network.geometry["attention_type"]
    tokens, grid = network.embed(clip)
    patches = network.scheme.patches_of(tokens, grid)[0].flatten(0, 1)  # (N*T, D)
    cls_token = network.scheme.cls_token_of(tokens, grid)[0]
    layers: list[Layer] = []
    if name == "space_only":
        return frame_by_frame(network, cls_token, patches, grid, layers)
    x = torch.cat([cls_token[None], patches])
    for block in network.blocks:
        for step in STEPS[name]:
            x = x + attend(block, step, x, grid, layers)
        x = x + block.mlp(block.norm2(x))
    return network.head(network.norm(x[0])), layers, [(CLASS, 0), *patch_tokens(grid)]


def attend(block: Block, step: Step, x: Tensor, grid: TokenGrid, layers: list[Layer]) -> Tensor:
    groups = [step.group_of(token, grid) for token in patch_tokens(grid)]
    copies = sorted(set(groups)) if step.has_class else []
    x = getattr(block, step.norm)(x)
    x = torch.cat([x[:1].repeat(len(copies), 1), x[1:]])
    outcome = masked(block, step.attention, x, copies + groups, len(copies), layers)
    outcome = getattr(block, step.fc)(outcome) if step.fc else outcome
    ours = outcome[: len(copies)].mean(dim=0, keepdim=True) if copies else 0 * outcome[:1]
    return torch.cat([ours, outcome[len(copies) :]])


def masked(
    block: Block, name: str, x: Tensor, groups: list[Group], num_copies: int, layers: list[Layer]
) -> Tensor:
    attention = getattr(block, name)
    q, k, v = attention.qkv(x).unflatten(1, (3, attention.num_heads, -1)).permute(1, 2, 0, 3)
    apart = torch.tensor([[a != b for b in groups] for a in groups])
    scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(apart, -torch.inf)
    layers.append(Layer(name, scores.softmax(dim=-1), num_copies))
    return attention.proj((layers[-1].probabilities @ v).transpose(0, 1).flatten(1))


def frame_by_frame(
    network: VisionTransformer, cls_token: Tensor, patches: Tensor, grid: TokenGrid, layers: list
) -> tuple[Tensor, list[Layer], list[Token]]:
    """Every frame has a class token of its own, which are averaged at the end."""
    names = [(p, t) for t in range(grid.frames) for p in (CLASS, *range(grid.patches))]
    by_name = dict(zip(patch_tokens(grid), patches, strict=True))
    x = torch.stack([cls_token[t] if p == CLASS else by_name[p, t] for p, t in names])
    for block in network.blocks:
        x = x + masked(block, "attn", block.norm1(x), [(t,) for _, t in names], 0, layers)
        x = x + block.mlp(block.norm2(x))
    is_class = torch.tensor([p == CLASS for p, _ in names])
    return network.head(network.norm(x[is_class].mean(dim=0))), layers, names


def last_row(matrices: list[Tensor], names: list[Token]) -> dict[Token, float]:
    """The row of the class token, or the mean row of all of them, in the product of the layers."""
    product = torch.eye(len(names)).to(matrices[0])
    for matrix in matrices:
        product = matrix @ product
    is_class = torch.tensor([p == CLASS for p, _ in names])
    row: dict[Token, float] = {}
    for (patch, frame), value in zip(names, product[is_class].mean(dim=0).tolist(), strict=True):
        key = (CLASS, 0) if patch == CLASS else (patch, frame)
        row[key] = row.get(key, 0.0) + value
    return row


def of_tokens(layer: Layer, matrix: Tensor, names: list[Token]) -> Tensor:
    return matrix if len(matrix) == len(names) else layer.merged(matrix)


def dense_rollout(network: VisionTransformer, clip: Tensor) -> dict[Token, float]:
    """Abnar and Zuidema: the product of (A + 1) / 2 with rows that sum to 1."""
    _, layers, names = dense_network(network, clip)
    matrices = []
    for layer in layers:
        matrix = of_tokens(layer, layer.probabilities.mean(dim=0), names).detach()
        matrix = matrix + torch.eye(len(names))
        matrices.append(matrix / matrix.sum(dim=1, keepdim=True))
    return last_row(matrices, names)


def dense_relevance(network: VisionTransformer, clip: Tensor, label: int) -> dict[Token, float]:
    """Chefer, Gur and Wolf: the product of 1 + mean over heads of relu(gradient x A)."""
    logits, layers, names = dense_network(network, clip)
    probabilities = [layer.probabilities for layer in layers]
    gradients = torch.autograd.grad(logits[label], probabilities, materialize_grads=True)
    matrices = []
    for layer, gradient in zip(layers, gradients, strict=True):
        matrix = (gradient * layer.probabilities).relu().mean(dim=0).detach()
        matrices.append(torch.eye(len(names)) + of_tokens(layer, matrix, names))
    return last_row(matrices, names)
