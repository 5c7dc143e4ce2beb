"""Initial values, and embeddings resized at run time."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.models.pos_embed import resize_spatial, resize_temporal
from timesformer.models.transformer import init_weights

SCHEMES = ATTENTION_SCHEMES.names()


@pytest.mark.parametrize("attention_type", SCHEMES)
def test_initialisation_reaches_every_parameter(attention_type: str) -> None:
    with torch.device("meta"):
        network = tiny_network(attention_type)
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        parameter.data.fill_(torch.nan)
    init_weights(
        network,
        init_std=0.02,
        pos_embed_init="normal",
        pos_embed_std=0.02,
        time_embed_init="normal",
        time_embed_std=0.02,
        temporal_fc_zero_init=False,
    )
    assert [n for n, p in network.named_parameters() if not p.isfinite().all()] == []


def test_initial_values_are_the_released_ones() -> None:
    torch.manual_seed(0)
    state = tiny_network(embed_dim=96).state_dict()
    zeros = {name for name, tensor in state.items() if not tensor.any()}
    assert {name for name in state if name.endswith("bias")} - zeros == {"patch_embed.proj.bias"}
    assert {name for name in zeros if not name.endswith("bias")} == {
        "time_embed",
        "blocks.0.temporal_fc.weight",
        "blocks.1.temporal_fc.weight",
    }
    for name in ("blocks.1.mlp.fc1.weight", "blocks.0.attn.qkv.weight"):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.05)
    for name in ("pos_embed", "cls_token", "head.weight"):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.2)


def test_values_for_training_from_scratch() -> None:
    torch.manual_seed(0)
    state = tiny_network(embed_dim=96, time_embed_std=0.5, temporal_fc_zero_init=False).state_dict()
    assert state["time_embed"].std().item() == pytest.approx(0.5, rel=0.15)
    assert state["blocks.0.temporal_fc.weight"].std().item() == pytest.approx(0.02, rel=0.05)


def test_zero_time_embedding_makes_the_order_of_frames_invisible() -> None:
    network = tiny_network().eval()
    randomise(network)

    def change_when_played_backwards() -> float:
        return (network(clip()) - network(clip().flip(2))).abs().max().item()

    assert change_when_played_backwards() > 1e-4
    torch.nn.init.zeros_(network.time_embed)
    assert change_when_played_backwards() < 1e-6  # rounding: sums in another order


@pytest.mark.parametrize("attention_type", SCHEMES)
def test_other_sizes_see_nearest_embeddings(attention_type: str) -> None:
    network = tiny_network(attention_type).eval()
    randomise(network)
    other = tiny_network(attention_type, img_size=(32, 24), num_frames=6).eval()
    state = network.state_dict()
    state["pos_embed"] = resize_spatial(state["pos_embed"], (2, 2), (4, 3))
    if "time_embed" in state:
        state["time_embed"] = resize_temporal(state["time_embed"], 6)
    other.load_state_dict(state)
    big = clip(frames=6, height=32, width=24)
    assert torch.equal(network(big), other(big))


def test_same_number_of_patches_in_another_grid_is_resized() -> None:
    network = tiny_network(img_size=(16, 32)).eval()
    randomise(network)
    tall = clip(height=32, width=16)
    turned = tiny_network(img_size=(32, 16)).eval()
    state = network.state_dict()
    turned.load_state_dict(
        {**state, "pos_embed": resize_spatial(state["pos_embed"], (2, 4), (4, 2))}
    )
    assert torch.equal(network(tall), turned(tall))


def test_nearest_is_two_dimensional_and_spares_the_class_position() -> None:
    pos_embed = torch.randn(1, 1 + 2 * 3, 5)
    resized = resize_spatial(pos_embed, (2, 3), (5, 4))
    assert torch.equal(resized[:, 0], pos_embed[:, 0])
    for row in range(5):
        for column in range(4):
            origin = (row * 2 // 5) * 3 + column * 3 // 4
            assert torch.equal(resized[0, 1 + row * 4 + column], pos_embed[0, 1 + origin])


def test_nearest_in_time() -> None:
    time_embed = torch.randn(1, 4, 5)
    assert torch.equal(resize_temporal(time_embed, 8), time_embed.repeat_interleave(2, dim=1))
    assert torch.equal(resize_temporal(time_embed, 2), time_embed[:, ::2])
    assert resize_temporal(time_embed, 4) is time_embed


def test_bicubic_keeps_a_constant_and_the_dtype() -> None:
    pos_embed = torch.full((1, 1 + 49, 4), 0.5, dtype=torch.float16)
    resized = resize_spatial(pos_embed, (7, 7), (3, 5), mode="bicubic")
    assert resized.dtype == torch.float16
    torch.testing.assert_close(resized, torch.full((1, 16, 4), 0.5, dtype=torch.float16))


def test_image_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="20 x 20 pixels do not divide into patches of 8"):
        tiny_network(img_size=20)


def test_construction_leaves_the_default_device_alone() -> None:
    assert {p.device.type for p in tiny_network().parameters()} == {"cpu"}
    with torch.device("meta"):
        assert {p.device.type for p in tiny_network().parameters()} == {"meta"}
