"""The multiply-adds of one clip, found in two ways that must agree: counted, and by a formula.

Counted with fvcore on the meta device, where nothing is computed, so a model of 96 frames or 448
pixels takes a second too; the formula reads the sizes of the layers and knows the schemes.

Dimensions: C channels, T frames, H W pixels, h w rows and columns of patches, N = h*w patches,
D width; inside attention S is the length of any sequence and d = D / heads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import product
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES, Block, TokenGrid
from timesformer.models.transformer import VisionTransformer

ClipSize = tuple[int, int, int, int]
"""C, T, H, W."""


class Layers(NamedTuple):
    """What the formula takes from a network; of a part, how many weights each token meets."""

    width: int
    depth: int
    patch_embed: int
    mlp: int
    head: int


class BlockWork(NamedTuple):
    """What one block has to do. A token counts once for each copy of it."""

    before: list[tuple[int, int]]
    """(how many sequences, S) for each attention but the last; S counts the class token."""
    last: list[tuple[int, int]]
    """The same of the last attention, `Block.attn`."""
    through_fc: int
    """Tokens that pass the linear layer D x D behind an attention, summed over these layers."""
    through_mlp: int
    cls_through_mlp: int = 1
    """Of these, those that pass it where only the class token is wanted."""


def space_only(grid: TokenGrid) -> BlockWork:
    tokens = grid.frames * (1 + grid.patches)
    return BlockWork([], [(grid.frames, 1 + grid.patches)], 0, tokens, grid.frames)


def joint_space_time(grid: TokenGrid) -> BlockWork:
    tokens = 1 + grid.patches * grid.frames
    return BlockWork([], [(1, tokens)], 0, tokens)


def divided_space_time(grid: TokenGrid) -> BlockWork:
    places = 1 + grid.patches  # the class token, in as many copies as frames, is one more
    tokens = places * grid.frames
    over_time, over_space = [(places, grid.frames)], [(grid.frames, places)]
    return BlockWork(over_time, over_space, tokens, tokens, grid.frames)


def axial(grid: TokenGrid) -> BlockWork:
    places = 1 + grid.patches
    tokens = places * grid.frames
    rows = (grid.frames * grid.height, 1 + grid.width)
    columns = (grid.frames * grid.width, 1 + grid.height)
    return BlockWork([(places, grid.frames), rows], [columns], 2 * tokens, tokens, grid.frames)


def sparse_local_global(grid: TokenGrid) -> BlockWork:
    times, rows, columns = (list(halves(length)) for length in grid)
    windows = [(1, 1 + grid.frames * h * w) for h, w in product(rows, columns)]
    lattices = [(1, 1 + t * h * w) for t, h, w in product(times, rows, columns)]
    tokens = 1 + grid.patches * grid.frames
    return BlockWork(windows, lattices, tokens, tokens)


def halves(length: int) -> Iterator[int]:
    """How many of `length` are in each half, or at even and odd places; never 0."""
    return (size for size in ((length + 1) // 2, length // 2) if size)


BLOCK_WORK: dict[str, Callable[[TokenGrid], BlockWork]] = {
    work.__name__: work
    for work in (space_only, joint_space_time, divided_space_time, axial, sparse_local_global)
}
"""By the names of `ATTENTION_SCHEMES`."""


def formula_flops(scheme: str, grid: TokenGrid, layers: Layers) -> int:
    """Multiply-adds of a clip of `grid`: all matrix products that are computed, nothing else.

    The last block is computed for the class token alone.
    """
    work = BLOCK_WORK[scheme](grid)
    blocks = (layers.depth - 1) * block_flops(work, layers) + last_block_flops(work, layers)
    patches = grid.frames * grid.patches * layers.patch_embed
    return patches + blocks + layers.head


def nominal_flops(scheme: str, grid: TokenGrid, layers: Layers) -> int:
    """Multiply-adds of a clip of `grid` as papers count them: every block in full, for all tokens.

    The class token's copies, which divided and axial attention carry along, count only where they
    take part: once in the MLP, and not in time.
    """
    work = BLOCK_WORK[scheme](grid)
    if scheme in ("divided_space_time", "axial"):
        patches, one = grid.patches * grid.frames, 1
        others = work.before[1:]
        fc = patches if scheme == "divided_space_time" else 2 * patches + one
        work = BlockWork([(grid.patches, grid.frames), *others], work.last, fc, patches + one)
    blocks = layers.depth * block_flops(work, layers)
    return grid.frames * grid.patches * layers.patch_embed + blocks + layers.head


def block_flops(work: BlockWork, layers: Layers) -> int:
    attention = sum(
        attention_flops(number, length, length, layers.width)
        for number, length in [*work.before, *work.last]
    )
    return attention + work.through_fc * layers.width**2 + work.through_mlp * layers.mlp


def last_block_flops(work: BlockWork, layers: Layers) -> int:
    """Of a block of which only the class token is wanted."""
    before = sum(attention_flops(n, length, length, layers.width) for n, length in work.before)
    last = sum(attention_flops(n, length, 1, layers.width) for n, length in work.last)
    fc, mlp = work.through_fc * layers.width**2, work.cls_through_mlp * layers.mlp
    return before + last + fc + mlp


def attention_flops(number: int, keys: int, queries: int, width: int) -> int:
    """Of `number` sequences: the layers qkv and proj, scores, and mixed values."""
    return number * (2 * (keys + queries) * width**2 + 2 * queries * keys * width)


def num_tokens(scheme: str, grid: TokenGrid) -> int:
    """1 + N*T; T * (1 + N) where every frame is a sequence of its own."""
    if scheme == "space_only":
        return grid.frames * (1 + grid.patches)
    return 1 + grid.patches * grid.frames


def layers_of(network: VisionTransformer) -> Layers:
    block = network.blocks[0]  # all are alike
    assert isinstance(block, Block)
    return Layers(
        width=network.norm.normalized_shape[0],
        depth=len(network.blocks),
        patch_embed=network.patch_embed.proj.weight.numel(),
        mlp=linear_weights(block.mlp),
        head=linear_weights(network.head),
    )


def linear_weights(module: nn.Module) -> int:
    linears = (part for part in module.modules() if isinstance(part, nn.Linear))
    return sum(linear.weight.numel() for linear in linears)


def scheme_of(network: VisionTransformer) -> str:
    """The name of its attention scheme."""
    block = type(network.blocks[0])
    names = ATTENTION_SCHEMES.names()
    return next(name for name in names if ATTENTION_SCHEMES.get(name) is block)


def grid_of(network: VisionTransformer, clip: ClipSize) -> TokenGrid:
    """The patches of a clip, which need not have the size that the network was built for."""
    _, frames, height, width = clip
    side = network.patch_embed.patch_size
    return TokenGrid(frames, height // side, width // side)


def measured_flops(model: nn.Module, clip: ClipSize) -> tuple[int, tuple[str, ...]]:
    """Multiply-adds of one clip in evaluation, and the names of operators that were not counted.

    Counted by fvcore's `FlopCountAnalysis`: matrix products, those within attention and recurrent
    layers among them, and convolutions. fvcore would add an estimate for norms and pooling, which
    is left out here, as are softmax, activations, biases and sums: the paper counts none of them.

    Args:
        model: on the meta device.
        clip: without the batch, which is 1.
    """
    with warnings.catch_warnings():
        # PyTorch deprecates TorchScript, which fvcore uses when imported, and for its traces.
        warnings.filterwarnings("ignore", r"`torch\.jit\..* is (deprecated|not supported)")
        from fvcore.nn.flop_count import FlopCountAnalysis
    analysis = FlopCountAnalysis(model.eval(), torch.empty(1, *clip, device="meta"))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    # 0 and not None, which takes away no handle that fvcore has
    analysis.set_op_handle(**HANDLES, **dict.fromkeys(NO_PRODUCTS, lambda inputs, outputs: 0))
    with ThreadPoolExecutor(1) as aside, torch.no_grad(), TracedConvolutions(), ShapesOnly(aside):
        flops = int(analysis.total())
    return flops, tuple(sorted(analysis.unsupported_ops()))


NO_PRODUCTS = [
    *("aten::layer_norm", "aten::batch_norm", "aten::group_norm", "aten::instance_norm"),
    *("aten::add", "aten::add_", "aten::sub", "aten::mul", "aten::mul_", "aten::div", "aten::div_"),
    *("aten::gelu", "aten::relu", "aten::relu_", "aten::softmax", "aten::sigmoid", "aten::tanh"),
    *("aten::mean", "aten::sum", "aten::adaptive_avg_pool2d", "aten::max_pool2d"),
    *("aten::empty_like", "aten::fill_", "aten::unflatten", "aten::upsample_nearest2d"),
]
"""Operators without a multiply-add, beyond those that fvcore passes over itself."""


def sdpa_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Q K^T and A V of ``scaled_dot_product_attention``; each input (..., S, d)."""
    *batch, queries, dim = inputs[0].type().sizes()
    *_, keys, value_dim = inputs[2].type().sizes()
    return prod(batch) * queries * keys * (dim + value_dim)


def recurrent_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Every weight of an LSTM or GRU once for each step of each sequence."""
    *steps, _ = inputs[0].type().sizes()
    weights = [weight.type().sizes() for weight in inputs[2].node().inputs()]
    return prod(steps) * sum(prod(sizes) for sizes in weights if len(sizes) == 2)


HANDLES = {
    "aten::scaled_dot_product_attention": sdpa_flops,
    "aten::lstm": recurrent_flops,
    "aten::gru": recurrent_flops,
}


class ShapesOnly(TorchDispatchMode):
    """Lets TorchScript's tracing, which fvcore is built on, run on the meta device.

    While it traces, sizes are tensors, for which PyTorch's shape functions are not made. Tracing
    is a state of the thread, so they are called in another one, `aside`.
    """

    def __init__(self, aside: Executor) -> None:
        super().__init__()
        self.aside = aside

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.convolution.default:
            raise UserError(
                "The model has a transposed convolution, whose FLOPs cannot be counted here."
            )
        leaves = tree_leaves((args, kwargs))
        if not any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in leaves):
            return func(*args, **kwargs)  # arithmetic with sizes
        return self.aside.submit(without_history, func, args, kwargs).result()


def without_history(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outcome of `func` on meta tensors, as tensors that autograd has never seen."""
    if func is torch.ops.aten._convolution.default:
        func, args = torch.ops.aten.convolution.default, args[:9]  # without cuDNN's flags
    given = {id(arg) for arg in args}  # what is changed in place is returned as it is

    def fresh(out: Tensor) -> Tensor:
        if id(out) in given:
            return out
        return torch.empty_strided(out.shape, out.stride(), dtype=out.dtype, device="meta")

    return tree_map_only(Tensor, fresh, func(*args, **kwargs))


class TracedConvolutions(TorchFunctionMode):
    """Calls convolutions by the one name that tracing records.

    Usually that call comes from their implementation, which a dispatch mode stands in for; and what
    is not recorded cuts off, and loses, all that came before it.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.conv1d, torch.conv2d, torch.conv3d):
            return recorded_convolution(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def recorded_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As ``torch.conv2d`` and its like, whose parameters these are."""
    if isinstance(padding, str):
        raise UserError(f"A convolution has padding='{padding}'; only numbers can be counted here.")
    dims = weight.ndim - 2
    stride, padding, dilation = (
        [value] * dims if isinstance(value, int) else list(value)
        for value in (stride, padding, dilation)
    )
    forwards = (False, [0] * dims)  # not transposed, no output padding
    flags = (False, False, False, False)  # cuDNN's, without meaning here
    return torch._convolution(
        input, weight, bias, stride, padding, dilation, *forwards, groups, *flags
    )
