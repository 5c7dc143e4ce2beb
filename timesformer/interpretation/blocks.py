"""A block of any attention scheme, opened in two ways: what it attends to, and what that mixes.

Dimensions: B clips, S tokens of a sequence, G sequences side by side, D width, C channels.

Each scheme lays its tokens out, groups them and averages copies of the class token in its own code.
Both ways run that very code, with other layers in the places of a block's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from timesformer.errors import UserError
from timesformer.models.attention import Block, TokenGrid
from timesformer.models.layers import Attention, DropPath, Mlp

Record = dict[str, list[Tensor]]
"""The attentions of a block by name, in the order in which they are called, and for each call a
tensor (B', G, heads, S, S): a row for each query, or for the first alone. B' counts clips, and what
else a scheme has put there."""


def attention_in(
    block: Block, tokens: Tensor, grid: TokenGrid, *, only_cls: bool = False
) -> tuple[Tensor, Record]:
    """What `block` makes of the tokens, and the probabilities that it does it with.

    Arguments and first result are those of the block, and equal it but for rounding; the
    probabilities are part of the graph of computation.
    """
    record: Record = {}
    opened = copy_of(block)
    for name, attention in attentions_of(block).items():
        opened.set_submodule(name, OpenAttention(attention, name, record))
    return opened(tokens, grid, only_cls=only_cls), record


def attentions_of(block: Block) -> dict[str, Attention]:
    return {name: part for name, part in block.named_modules() if isinstance(part, Attention)}


class OpenAttention(nn.Module):
    """Computes what an `Attention` does, from a matrix of probabilities, which it hands on."""

    def __init__(self, attention: Attention, name: str, record: Record) -> None:
        super().__init__()
        self.attention, self.name, self.record = attention, name, record

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        first = x[:, :1] if only_first else x
        queries = self.attention.project(first, 0, 1)[0]  # (B, S, G * heads, d)
        keys, values = self.attention.project(x, 1, 3)
        queries = queries * queries.shape[-1] ** -0.5
        rows = torch.einsum("bqhd,bkhd->bhqk", queries, keys).softmax(dim=-1)
        matrix = rows.unflatten(1, (-1, self.attention.num_heads))
        self.record.setdefault(self.name, []).append(matrix)
        mixed = torch.einsum("bhqk,bkhd->bqhd", matrix.flatten(1, 2), values)
        return self.attention.proj(mixed.reshape(first.shape))


def mixing(block: Block, matrices: Mapping[str, Sequence[Tensor]]) -> nn.Module:
    """A copy of `block` in which tokens are mixed by given matrices, and nothing else happens.

    An attention gives the sums of its tokens weighted by the rows of its matrix; one without
    matrices, and the MLP, give zeros; norms and linear layers give what they take. So what comes
    out is linear in what goes in, whose width is the number of channels.

    Args:
        matrices: of each call of an attention, (B', G, C, S, S) or with 1 for C, as in `Record`.

    Raises:
        UserError: a layer that nothing is known to stand in for.
    """
    copy = copy_of(block).eval()
    for name, part in block.named_children():
        if isinstance(part, Attention):
            copy.set_submodule(name, Mix(matrices[name]) if name in matrices else Zeros())
        elif (stand_in := STAND_INS.get(type(part))) is not None:
            copy.set_submodule(name, stand_in())
        elif not isinstance(part, DropPath):
            raise UserError(
                f"What attention mixes cannot be followed through {type(block).__name__}: nothing "
                f"is known of what its part '{name}', a {type(part).__name__}, does to tokens."
            )
    return copy


class Mix(nn.Module):
    """Stands in for an attention: the next of its matrices times the tokens."""

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        super().__init__()
        self.waiting: Iterator[Tensor] = iter(matrices)

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        """(B, S, C) or (B, S, G, C) to the same, or with 1 for S."""
        matrix = next(self.waiting)
        if only_first:
            matrix = matrix[..., :1, :]
        side_by_side = x if x.ndim == 4 else x[:, :, None]
        matrix = matrix.expand(-1, -1, x.shape[-1], -1, -1)
        mixed = torch.einsum("bgcqk,bkgc->bqgc", matrix, side_by_side)
        return mixed if x.ndim == 4 else mixed[:, :, 0]


class Zeros(nn.Module):
    """Stands in for an attention or an MLP that adds nothing."""

    def forward(self, x: Tensor, *, only_first: bool = False) -> Tensor:
        return torch.zeros_like(x[:, :1] if only_first else x)


STAND_INS: dict[type[nn.Module], Callable[[], nn.Module]] = {
    nn.LayerNorm: nn.Identity,
    nn.Linear: nn.Identity,
    nn.Identity: nn.Identity,
    Mlp: Zeros,
}


AnyModule = TypeVar("AnyModule", bound=nn.Module)


def copy_of(module: AnyModule) -> AnyModule:
    """A copy that shares the tensors."""
    return deepcopy(module, {id(t): t for t in (*module.parameters(), *module.buffers())})
