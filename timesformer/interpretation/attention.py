"""What the class token attends to: attention rollout, for a class, and raw.

Dimensions: B clips, C channels, T frames, H W pixels, h w rows and columns of patches.

All functions take a model with a `VisionTransformer` in it and float clips (B, C, T, H, W) as the
model takes them, on its device; they work in evaluation mode and leave the model as it is. They
hold the matrices of one block at a time, and their means over heads of all blocks: for the base
size with 8 frames of 224 pixels 0.4 GB beside the model, 0.9 GB for joint attention; for divided
attention over 16 frames of 448 pixels 2.4 GB for rollout. Those take minutes on a processor:
`advance` is called after each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from timesformer.errors import UserError
from timesformer.interpretation.blocks import Record, attention_in, copy_of, mixing
from timesformer.models.attention import Block, TokenGrid
from timesformer.models.transformer import VisionTransformer, layer_indices

LAST_ATTENTION = {
    "space_only": "space",
    "joint_space_time": "space and time",
    "divided_space_time": "space",
    "sparse_local_global": "global",
    "axial": "height",
}
"""What `attn` of a block looks along; another attention X of it is called `X_attn`."""

Advance = Callable[[], object]
"""What is told that a block is done."""


def nobody() -> None:
    """Whom it is told by default."""


class ClassRow(NamedTuple):
    """What the class token at the end takes from each token at the start."""

    cls_token: Tensor
    """(B,): from the class token itself."""
    patches: Tensor
    """(B, T, h, w)."""


class RawAttention(NamedTuple):
    """The probabilities of one attention of a block, as a map over the clip."""

    layer: int
    """From 0."""
    name: str
    """What it looks along."""
    is_of_class: bool
    """Whether the map is the row of the class token, whose copies are averaged. If not, the class
    token takes no part in this attention, and the map is what patches get on average."""
    heads: Tensor
    """(B, heads, T, h, w): each map sums to 1, with what the class token has."""


@torch.no_grad()
def rollout(model: nn.Module, clip: Tensor, *, advance: Advance = nobody) -> ClassRow:
    """Attention rollout (Abnar and Zuidema, arXiv 2005.00928), time included.

    Each attention counts as a layer, half of which is its residual: (A + 1) / 2, where A is the
    mean over heads. A token that takes no part stays as it is. The weights sum to 1.

    Raises:
        UserError: a model without attention, or with a block that cannot be followed.
    """
    network = network_of(model)
    inputs, _, grid = run(network, clip)
    mixers = []
    for block, tokens in zip(blocks_of(network), inputs, strict=True):
        _, record = attention_in(block, tokens, grid, only_cls=block is network.blocks[-1])
        mixers.append(mixing(block, mapped(record, half_with_residual)))
        advance()
    return class_row(network, mixers, grid, like=clip)


def half_with_residual(matrix: Tensor) -> Tensor:
    """What attention has to add to its input x for (A x + x) / 2."""
    mean = matrix.mean(dim=2, keepdim=True)
    return (mean - torch.eye(*mean.shape[-2:], device=mean.device, dtype=mean.dtype)) / 2


def relevance(
    model: nn.Module, clip: Tensor, classes: Sequence[int], *, advance: Advance = nobody
) -> ClassRow:
    """Rollout of what speaks for a class (Chefer, Gur and Wolf, arXiv 2103.15679, eq. 5 and 6).

    The layers are A + 1, where A is the mean over heads of the positive part of each probability
    times the gradient of the class's logit with respect to it. Of copies of the class token the
    mean counts, as in the block itself. The weights have no unit.

    Args:
        classes: for each clip, the class to explain.

    Raises:
        UserError: as `rollout`, or a class that the model does not have.
    """
    network = network_of(model)
    check_classes(classes, network.geometry["num_classes"])
    inputs, outcome, grid = run(network, clip)
    gradient = gradient_of_logits(network, outcome, grid, classes)
    mixers = []
    for block, tokens in zip(blocks_of(network)[::-1], inputs[::-1], strict=True):
        only_cls = block is network.blocks[-1]
        gradient, record = weighted(block, tokens, grid, gradient, only_cls=only_cls)
        mixers.append(mixing(block, record))
        advance()
    return class_row(network, mixers[::-1], grid, like=clip)


def check_classes(classes: Sequence[int], num_classes: int) -> None:
    for label in classes:
        if not 0 <= label < num_classes:
            raise UserError(f"There is no class {label}: the model has {num_classes}, from 0.")


@torch.enable_grad()
def gradient_of_logits(
    network: VisionTransformer, outcome: Tensor, grid: TokenGrid, classes: Sequence[int]
) -> Tensor:
    """Of the logit of each clip's class with respect to the last block's tokens."""
    outcome = outcome.requires_grad_()
    logits = network.head(network.norm(class_token(network, outcome, grid)))
    chosen = logits[torch.arange(len(logits)), list(classes)]
    return torch.autograd.grad(chosen.sum(), outcome)[0]


@torch.enable_grad()
def weighted(
    block: Block, tokens: Tensor, grid: TokenGrid, gradient: Tensor, *, only_cls: bool
) -> tuple[Tensor, Record]:
    """The gradient with respect to the tokens, and relu(gradient x probability) over heads.

    Args:
        gradient: with respect to the outcome.
    """
    tokens = tokens.requires_grad_()
    outcome, record = attention_in(block, tokens, grid, only_cls=only_cls)
    calls = [matrix for calls in record.values() for matrix in calls]
    # What attention gives to copies that are put aside has no part in the outcome.
    back, *gradients = torch.autograd.grad(
        outcome, [tokens, *calls], gradient, allow_unused=True, materialize_grads=True
    )
    of = dict(zip(map(id, calls), gradients, strict=True))

    def positive(matrix: Tensor) -> Tensor:
        return (of[id(matrix)] * matrix.detach()).relu().mean(dim=2, keepdim=True)

    return back, mapped(record, positive)


def raw_attention(
    model: nn.Module,
    clip: Tensor,
    layers: Sequence[int] | None = None,
    *,
    advance: Advance = nobody,
) -> Iterator[RawAttention]:
    """The attentions of each layer, or of those of `layers`, in the order in which they are taken.

    Args:
        layers: indices of blocks; negative ones count from the last.

    Raises:
        UserError: as `rollout`, or a layer that the network does not have.
    """
    network = network_of(model)
    wanted = layer_indices(layers, len(network.blocks))
    inputs, _, grid = run(network, clip)
    for layer in sorted(wanted):
        block = blocks_of(network)[layer]
        with torch.no_grad():
            _, record = attention_in(block, inputs[layer], grid)
        for name in record:
            heads, is_of_class = heads_of(network, block, {name: record[name]}, grid, like=clip)
            yield RawAttention(layer, name_of(network, name), is_of_class, heads)
        advance()


def name_of(network: VisionTransformer, attention: str) -> str:
    """``temporal_attn`` -> ``temporal``."""
    last = LAST_ATTENTION.get(network.geometry["attention_type"], attention)
    return last if attention == "attn" else attention.removesuffix("_attn")


def heads_of(
    network: VisionTransformer, block: Block, record: Record, grid: TokenGrid, *, like: Tensor
) -> tuple[Tensor, bool]:
    """`RawAttention.heads` and `RawAttention.is_of_class` of the one attention in `record`."""
    channels = next(iter(record.values()))[0].shape[2]
    _, row = row_of(network, [mixing(block, record)], grid, class_token, channels, like)
    if row.any():
        return row, True
    _, given = row_of(network, [mixing(block, record)], grid, mean_patch, channels, like)
    return given - 1 / given[0, 0].numel(), False  # without the residual


def class_row(
    network: VisionTransformer, mixers: Sequence[nn.Module], grid: TokenGrid, *, like: Tensor
) -> ClassRow:
    row = row_of(network, mixers, grid, class_token, 1, like)
    return ClassRow(row.cls_token[:, 0], row.patches[:, 0])


Reading = Callable[[VisionTransformer, Tensor, TokenGrid], Tensor]
"""From the tokens of a block to (B, C)."""


def class_token(network: VisionTransformer, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """As the network reads it after its last block."""
    token = network.scheme.cls_token_of(tokens, grid)
    return token.mean(dim=1) if token.ndim == 3 else token


def mean_patch(network: VisionTransformer, tokens: Tensor, grid: TokenGrid) -> Tensor:
    return network.scheme.patches_of(tokens, grid).mean(dim=(1, 2))


@torch.enable_grad()
def row_of(
    network: VisionTransformer,
    mixers: Sequence[nn.Module],
    grid: TokenGrid,
    read: Reading,
    channels: int,
    like: Tensor,
) -> ClassRow:
    """What `read` takes, after all mixers, from each token before them: (B, C) and (B, C, T, h, w).

    All is linear, so the weights are the gradient, wherever it is taken.

    Args:
        like: the clips.
    """
    cls_token = like.new_zeros(len(like), 1, channels, requires_grad=True)
    shape = (len(like), grid.patches, grid.frames, channels)
    patches = like.new_zeros(shape, requires_grad=True)
    tokens = network.scheme.arrange(cls_token, patches)
    for mixer in mixers:
        is_last = mixer is mixers[-1]
        tokens = mixer(tokens, grid, only_cls=is_last and read is class_token)
    outcome = read(network, tokens, grid).sum()
    of_cls, of_patches = torch.autograd.grad(outcome, [cls_token, patches])
    in_place = of_patches.unflatten(1, (grid.height, grid.width)).permute(0, 4, 3, 1, 2)
    return ClassRow(of_cls[:, 0], in_place)


def mapped(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    return {name: [change(matrix) for matrix in calls] for name, calls in record.items()}


def network_of(model: nn.Module) -> VisionTransformer:
    """The transformer in `model`, in evaluation mode; the tensors are shared."""
    network = next((m for m in model.modules() if isinstance(m, VisionTransformer)), None)
    if network is None:
        raise UserError(
            f"A {type(model).__name__} has no attention to look at: choose a TimeSformer's weights."
        )
    return copy_of(network).eval()


def depth_of(model: nn.Module) -> int:
    """How many blocks there are to look at; raises as `rollout`."""
    return len(network_of(model).blocks)


def blocks_of(network: VisionTransformer) -> list[Block]:
    return [block for block in network.blocks if isinstance(block, Block)]


@torch.no_grad()
def run(network: VisionTransformer, clip: Tensor) -> tuple[list[Tensor], Tensor, TokenGrid]:
    """The tokens before each block, and those after the last, of which only the class is wanted."""
    tokens, grid = network.embed(clip)
    inputs = []
    for block in network.blocks:
        inputs.append(tokens)
        tokens = block(tokens, grid, only_cls=block is network.blocks[-1])
    return inputs, tokens, grid
