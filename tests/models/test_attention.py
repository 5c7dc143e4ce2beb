"""The attention schemes against a slow dense reference, and where stochastic depth draws."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.models.dense_reference import REFERENCES
from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models.attention import (
    ATTENTION_SCHEMES,
    BlockSpec,
    DividedSpaceTimeBlock,
    Slices,
    TokenGrid,
    halves,
    lattices,
    windows,
)
from timesformer.models.layers import Attention, DropPath

GRID = TokenGrid(frames=3, height=2, width=4)


@pytest.mark.parametrize("grid", [GRID, (1, 2, 2), (2, 3, 5), (5, 1, 4), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
def test_scheme_equals_dense_reference(attention_type: str, grid: tuple[int, int, int]) -> None:
    grid = TokenGrid(*grid)
    scheme = ATTENTION_SCHEMES.get(attention_type)
    block = scheme(BlockSpec(12, 3, 2.0, True, 0.0, 0.0), 0.0).double()
    randomise(block)
    batch = 2
    joint = (1 + grid.patches * grid.frames,)
    shape = (grid.frames, 1 + grid.patches) if scheme.per_frame else joint
    clips = torch.randn(batch, *shape, 12, dtype=torch.float64)

    fast = block(clips.flatten(0, 1) if scheme.per_frame else clips, grid)
    for fast_clip, clip_tokens in zip(fast.chunk(batch), clips, strict=True):
        slow = REFERENCES[attention_type](block, clip_tokens.reshape(-1, 12), grid)
        # float64, so that only a wrong neighbour could make a difference
        torch.testing.assert_close(fast_clip.reshape(-1, 12), slow, rtol=0, atol=1e-12)


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
        # B = 2, T = 4, N = 4: a row per patch in time, per frame in space, per clip in the MLP
        ("divided_space_time", [2 * 4, 2 * 4, 2]),
        ("joint_space_time", [2, 2]),
        ("space_only", [2 * 4, 2 * 4]),
        # rows: 2 clips x 4 frames x 2; columns likewise
        ("axial", [2 * 4, 2 * 4 * 2, 2 * 4 * 2, 2]),
        # 4 windows, 8 lattices, each of 2 clips
        ("sparse_local_global", [2] * 13),
    ],
)
def test_drop_path_draws_per_patch_in_time_and_per_frame_in_space(
    attention_type: str, rows: list[int]
) -> None:
    network = tiny_network(attention_type, drop_path_rate=0.5, img_size=(16, 16))
    seen: list[int] = []
    network.blocks[1].drop_path.register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape[0])
    )
    network(clip())
    assert seen == rows


def test_a_patch_dropped_in_time_still_gets_the_bias_of_temporal_fc() -> None:
    """The released order: stochastic depth first, then `temporal_fc`."""
    torch.manual_seed(0)
    block = DividedSpaceTimeBlock(BlockSpec(12, 3, 2.0, True, 0.0, 0.0), 0.999)
    randomise(block)
    update = block.over_time(torch.randn(1, 8 * 3, 12), GRID)
    assert torch.equal(update, block.temporal_fc.bias.expand_as(update))


def test_drop_path_rates_are_linear_in_depth() -> None:
    network = tiny_network(depth=5, drop_path_rate=0.2)
    rates = [block.drop_path.rate for block in network.blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    with pytest.raises(UserError, match=r"drop_path_rate is 1\.0"):
        tiny_network(drop_path_rate=1.0)
