"""The attention schemes against a slow dense reference, and where stochastic depth draws."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.models.dense_reference import REFERENCES
from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models.attention import (
    ATTENTION_SCHEMES,
    Block,
    BlockSpec,
    DividedSpaceTimeBlock,
    Slices,
    TokenGrid,
    halves,
    lattices,
    windows,
)
from timesformer.models.layers import (
    GPU_TILE,
    Attention,
    DropPath,
    attend,
    in_a_row,
    largest_divisor,
    same_sequence,
)

GRID = TokenGrid(frames=3, height=2, width=4)


@pytest.mark.parametrize("grid", [GRID, (1, 2, 2), (2, 3, 5), (5, 1, 4), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
def test_scheme_equals_dense_reference(attention_type: str, grid: tuple[int, int, int]) -> None:
    grid = TokenGrid(*grid)
    scheme = ATTENTION_SCHEMES.get(attention_type)
    block = scheme(BlockSpec(12, 3, 2.0, True, 0.0, 0.0), 0.0).double()
    randomise(block)
    cls_token, patches = torch.randn(2, 1, 12), torch.randn(2, grid.patches, grid.frames, 12)
    tokens = scheme.arrange(cls_token.double(), patches.double())

    fast = block(tokens, grid)
    cls_alone = block(tokens, grid, only_cls=True)
    slow = torch.cat([dense(block, clip_tokens, grid) for clip_tokens in tokens.chunk(2)])
    # float64, so that only a wrong neighbour could make a difference
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-12)
    close(fast, slow)
    close(scheme.cls_token_of(cls_alone, grid), scheme.cls_token_of(fast, grid))


def dense(block: Block, tokens: Tensor, grid: TokenGrid) -> Tensor:
    """One clip's tokens through the reference of the block's scheme, as the block lays them out."""
    cls_token = block.cls_token_of(tokens, grid)  # (1, D), or (1, T, D)
    patches = block.patches_of(tokens, grid)  # (1, N, T, D)
    reference = REFERENCES[type(block)]
    if cls_token.ndim == 3:
        frames = torch.cat([cls_token[0, :, None], patches[0].transpose(0, 1)], dim=1)
        return reference(block, frames.flatten(0, 1), grid).view_as(frames)
    flat = reference(block, torch.cat([cls_token, patches[0].flatten(0, 1)]), grid)
    return block.arrange(flat[None, :1], flat[None, 1:].unflatten(1, patches.shape[1:3]))


@pytest.mark.parametrize(("number", "length"), [(12, 8), (10, 16), (7, 8), (3, 200)])
def test_short_sequences_in_a_row_attend_as_one_by_one(number: int, length: int) -> None:
    """What a GPU is given, computed here."""
    parts = torch.randn(3, number, length, 2, 4, dtype=torch.float64)
    packed = largest_divisor(number, GPU_TILE // length)
    mask = same_sequence(packed, length, parts.device)
    mixed = F.scaled_dot_product_attention(
        *(in_a_row(part, packed).transpose(1, 2) for part in parts), attn_mask=mask
    )
    one_by_one = attend(*parts, 0.0)
    in_place = mixed.transpose(1, 2).reshape(one_by_one.shape)
    torch.testing.assert_close(in_place, one_by_one, rtol=0, atol=1e-12)
    assert in_a_row(parts[0], packed).data_ptr() == parts[0].data_ptr()


def test_as_many_sequences_are_put_in_a_row_as_divide_their_number() -> None:
    assert [largest_divisor(n, 16) for n in (1, 12, 197, 8 * 197, 64 * 197)] == [1, 12, 1, 8, 16]
    assert largest_divisor(100, 0) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("length", [8, 16, 96, 200])
def test_attention_on_a_gpu_is_that_of_the_cpu(length: int) -> None:
    attention = Attention(128, 2, qkv_bias=True, drop_rate=0.0, attn_drop_rate=0.0)
    x = torch.randn(24, length, 128)
    there = copy.deepcopy(attention).cuda()
    torch.testing.assert_close(there(x.cuda()).cpu(), attention(x), rtol=1e-4, atol=1e-4)
    with torch.autocast("cuda", torch.bfloat16):
        half = there(x.cuda()).float().cpu()
    torch.testing.assert_close(half, attention(x), rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
def test_tokens_are_found_where_they_were_put(attention_type: str) -> None:
    scheme = ATTENTION_SCHEMES.get(attention_type)
    cls_token, patches = torch.randn(2, 1, 12), torch.randn(2, GRID.patches, GRID.frames, 12)
    tokens = scheme.arrange(cls_token, patches)
    assert torch.equal(scheme.patches_of(tokens, GRID), patches)
    found = scheme.cls_token_of(tokens, GRID)
    assert torch.equal(found, cls_token.expand_as(found) if found.ndim == 3 else cls_token[:, 0])


@pytest.mark.parametrize("attention_type", ["divided_space_time", "axial"])
def test_the_copies_of_the_class_token_stay_equal(attention_type: str) -> None:
    """In training too, where every layer draws what it drops."""
    spec = BlockSpec(12, 3, 2.0, True, drop_rate=0.3, attn_drop_rate=0.3)
    block = ATTENTION_SCHEMES.get(attention_type)(spec, 0.5)
    randomise(block)
    tokens = block.arrange(torch.randn(2, 1, 12), torch.randn(2, GRID.patches, GRID.frames, 12))
    copies = block(tokens, GRID)[:, 0]
    assert torch.equal(copies, copies[:, :1].expand_as(copies))
    assert block(tokens, GRID, only_cls=True).shape == (2, 1, GRID.frames, 12)


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("only_first", [False, True])
def test_sequences_side_by_side_attend_as_sequences_in_a_row(
    qkv_bias: bool, only_first: bool
) -> None:
    attention = Attention(12, 3, qkv_bias=qkv_bias, drop_rate=0.0, attn_drop_rate=0.0).double()
    x = torch.randn(2, 5, 4, 12, dtype=torch.float64)  # 4 sequences of 5 tokens in each of 2 clips
    beside = attention(x, only_first=only_first)
    in_a_row = attention(x.transpose(1, 2).flatten(0, 1), only_first=only_first)
    expected = in_a_row.unflatten(0, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(beside, expected, rtol=0, atol=1e-12)
    if only_first:
        torch.testing.assert_close(beside, attention(x)[:, :1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups_of", [windows, lattices])
@pytest.mark.parametrize("grid", [GRID, (1, 1, 1), (5, 3, 7), (2, 14, 14)], ids=str)
def test_every_patch_is_in_one_window_and_on_one_lattice(
    groups_of: Callable[[TokenGrid], list[Slices]], grid: tuple[int, int, int]
) -> None:
    grid = TokenGrid(*grid)
    seen = torch.zeros(grid.height, grid.width, grid.frames)
    for group in groups_of(grid):
        assert seen[group].numel() > 0
        seen[group] += 1
    assert seen.eq(1).all()


def test_windows_are_quarters_and_lattices_eighths_of_the_clip_of_the_paper() -> None:
    grid = TokenGrid(8, 14, 14)
    tokens = torch.zeros(14, 14, 8)
    assert [tokens[group].shape for group in windows(grid)] == [(7, 7, 8)] * 4
    assert [tokens[group].shape for group in lattices(grid)] == [(7, 7, 4)] * 8
    assert halves(5) == [slice(0, 3), slice(3, 5)]


def test_unknown_attention_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'divided'.*divided_space_time.*space_only"):
        tiny_network("divided")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(UserError, match=r"width 12 .* 5 attention heads"):
        Attention(12, 5, qkv_bias=True, drop_rate=0.0, attn_drop_rate=0.0)


def test_attention_dropout_acts_in_training_only() -> None:
    attention = Attention(12, 3, qkv_bias=True, drop_rate=0.0, attn_drop_rate=0.5)
    x = torch.randn(2, 7, 12)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


def test_drop_path_zeroes_whole_rows_at_its_rate_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(10_000, 2, 3))
    rows = dropped.flatten(1)
    assert rows.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(rows.amin(dim=1), rows.amax(dim=1))
    # Standard error of the rate over 10,000 rows is 0.0043; four of them.
    assert rows[:, 0].eq(0).float().mean().item() == pytest.approx(0.25, abs=0.018)


def test_drop_path_does_nothing_in_evaluation_or_at_rate_zero() -> None:
    x = torch.ones(8, 2)
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0)(x) is x


@pytest.mark.parametrize(
    ("attention_type", "rows"),
    [
        # B = 2, T = 4, N = 4: a row per patch in time (and one for the class token, which counts
        # for nothing), per frame in space, per clip in the MLP
        ("divided_space_time", [2 * 5, 2 * 4, 2]),
        ("joint_space_time", [2, 2]),
        ("space_only", [2 * 4, 2 * 4]),
        # rows: 2 clips x 4 frames x 2; columns likewise
        ("axial", [2 * 5, 2 * 4 * 2, 2 * 4 * 2, 2]),
        # 4 windows, 8 lattices, each of 2 clips
        ("sparse_local_global", [2] * 13),
    ],
)
def test_drop_path_draws_per_patch_in_time_and_per_frame_in_space(
    attention_type: str, rows: list[int]
) -> None:
    network = tiny_network(attention_type, depth=3, drop_path_rate=0.5, img_size=(16, 16))
    randomise(network)
    seen: list[int] = []

    def count(module: DropPath, inputs: tuple[Tensor], drawn: dict[str, Any], out: Tensor) -> None:
        each = drawn.get("each", (0,))
        others = [dim for dim in range(out.ndim) if dim not in each]
        fates = (out / inputs[0]).nan_to_num().round(decimals=3)
        assert torch.equal(fates.amax(dim=others), fates.amin(dim=others))  # as a whole
        seen.append(prod(out.shape[dim] for dim in each))

    network.blocks[1].drop_path.register_forward_hook(count, with_kwargs=True)
    network(clip())
    assert seen == rows


def test_a_patch_dropped_in_time_still_gets_the_bias_of_temporal_fc() -> None:
    """The released order: stochastic depth first, then `temporal_fc`."""
    torch.manual_seed(0)
    block = DividedSpaceTimeBlock(BlockSpec(12, 3, 2.0, True, 0.0, 0.0), 0.999)
    randomise(block)
    update = block.over_time(torch.randn(1, 1 + 8, 3, 12))
    assert torch.equal(update[:, 1:], block.temporal_fc.bias.expand(1, 8, 3, 12))
    assert not update[:, 0].any()


def test_drop_path_rates_are_linear_in_depth() -> None:
    network = tiny_network(depth=5, drop_path_rate=0.2)
    rates = [block.drop_path.rate for block in network.blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    with pytest.raises(UserError, match=r"drop_path_rate is 1\.0"):
        tiny_network(drop_path_rate=1.0)
