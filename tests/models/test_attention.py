"""The attention schemes against a slow dense reference, and where stochastic depth draws."""

from __future__ import annotations

import pytest
import torch

from tests.models.dense_reference import REFERENCES
from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models.attention import (
    ATTENTION_SCHEMES,
    BlockSpec,
    DividedSpaceTimeBlock,
    TokenGrid,
    merge_frames,
    split_frames,
)
from timesformer.models.layers import Attention, DropPath

GRID = TokenGrid(frames=3, height=2, width=4)


@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
def test_scheme_equals_dense_reference(attention_type: str) -> None:
    scheme = ATTENTION_SCHEMES.get(attention_type)
    block = scheme(BlockSpec(12, 3, 2.0, True, 0.0, 0.0), 0.0).double()
    randomise(block)
    batch = 2
    shape = (GRID.frames, 1 + GRID.patches) if scheme.per_frame else (1 + 8 * GRID.frames,)
    clips = torch.randn(batch, *shape, 12, dtype=torch.float64)

    fast = block(clips.flatten(0, 1) if scheme.per_frame else clips, GRID)
    for fast_clip, clip_tokens in zip(fast.chunk(batch), clips, strict=True):
        slow = REFERENCES[attention_type](block, clip_tokens.reshape(-1, 12), GRID)
        # float64, so that only a wrong neighbour could make a difference
        torch.testing.assert_close(fast_clip.reshape(-1, 12), slow, rtol=0, atol=1e-12)


def test_split_and_merge_frames_are_inverse_and_average_the_class_token() -> None:
    tokens = torch.randn(2, 1 + 8 * 3, 5)
    frames = split_frames(tokens, GRID)
    assert frames.shape == (2 * 3, 1 + 8, 5)
    # Patch 6 of frame 2 of the second clip: clip-major outside, patch-major inside.
    torch.testing.assert_close(frames[3 + 2, 1 + 6], tokens[1, 1 + 6 * 3 + 2], rtol=0, atol=0)
    torch.testing.assert_close(merge_frames(frames, GRID), tokens)
    frames[:3, 0] = torch.tensor([1.0, 2.0, 6.0])[:, None]
    torch.testing.assert_close(merge_frames(frames, GRID)[0, 0], torch.full((5,), 3.0))


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
