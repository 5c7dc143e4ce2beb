"""Initial values, and embeddings resized at run time."""

from __future__ import annotations

import math

import pytest
import torch

from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.models.pos_embed import resize_spatial, resize_temporal, sines_and_cosines
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


@pytest.mark.parametrize("attention_type", SCHEMES)
def test_without_positions_the_places_of_patches_do_not_matter(attention_type: str) -> None:
    """Schemes that group patches by place keep the places that share a group."""
    swapped = clip().unflatten(3, (2, 8)).flip(3).flatten(3, 4)  # the two rows of patches

    def change_when_rows_are_swapped(pos_embed: str) -> float:
        network = tiny_network(attention_type, pos_embed=pos_embed).eval()
        randomise(network)
        return (network(swapped) - network(clip())).abs().max().item()

    assert change_when_rows_are_swapped("none") < 1e-5  # rounding: sums in another order
    assert change_when_rows_are_swapped("space_time") > 1e-4
    network = tiny_network(attention_type, pos_embed="none")
    assert network.pos_embed is None
    assert network.time_embed is None


def test_positions_in_space_alone_leave_the_order_of_frames_unknown() -> None:
    network = tiny_network(pos_embed="space").eval()
    randomise(network)
    assert network.time_embed is None
    torch.testing.assert_close(network(clip().flip(2)), network(clip()), rtol=1e-4, atol=1e-5)


def test_unknown_positions_are_refused() -> None:
    with pytest.raises(UserError, match="pos_embed is 'time'.*space_time, space, none"):
        tiny_network(pos_embed="time")
    with pytest.raises(UserError, match="cannot start as 'ones'; choose normal or sincos"):
        tiny_network(pos_embed_init="ones")
    with pytest.raises(UserError, match=r"width of 30 \(embed_dim\) .*multiple of 4"):
        tiny_network(embed_dim=30, pos_embed_init="sincos")


def test_sines_and_cosines_are_those_of_their_definition() -> None:
    waves = sines_and_cosines((2, 3), 8)
    assert waves.shape == (6, 8)
    row, column = 1, 2
    expected = []
    for place in (row, column):
        angles = [place / 10_000 ** (i / 2) for i in range(2)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert waves[row * 3 + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_sincos_tells_near_from_far_before_anything_is_learnt() -> None:
    network = tiny_network(
        num_frames=16,
        img_size=128,
        embed_dim=48,
        pos_embed_init="sincos",
        pos_embed_std=0.5,
        time_embed_init="sincos",
        time_embed_std=0.7,
    )
    time = network.time_embed[0]
    distances = (time - time[0]).norm(dim=1)
    assert distances[1] < distances[3] < distances[8]
    assert time.square().mean().sqrt().item() == pytest.approx(0.7, rel=1e-3)
    assert not network.pos_embed[0, 0].any()
    assert isinstance(network.pos_embed, torch.nn.Parameter)


def test_head_of_the_paper_has_a_hidden_layer() -> None:
    network = tiny_network(head_hidden_dim=7).eval()
    randomise(network)
    assert [name for name, _ in network.head.named_parameters()] == [
        "fc1.weight",
        "fc1.bias",
        "fc2.weight",
        "fc2.bias",
    ]
    features = network.forward_features(clip())
    hidden = torch.nn.functional.gelu(network.head.fc1(features))
    assert torch.equal(network(clip()), network.head.fc2(hidden))
    assert tiny_network(head_hidden_dim=7, num_classes=0)(clip()).shape == (2, 24)


@pytest.mark.parametrize("attention_type", SCHEMES)
def test_tokens_of_every_layer(attention_type: str) -> None:
    network = tiny_network(attention_type, depth=3, img_size=(16, 24)).eval()
    randomise(network)
    views = clip(height=16, width=24)
    layers = network.forward_intermediates(views)
    assert [tokens.patches.shape for tokens in layers] == [(2, 4, 2, 3, 24)] * 3
    # The class token of the last layer, averaged and normed, is what the head reads.
    cls_token = layers[-1].cls_token
    if cls_token.ndim == 3:
        cls_token = cls_token.mean(dim=1)
    torch.testing.assert_close(network.norm(cls_token), network.forward_features(views))
    normed = network.forward_intermediates(views, [-1], norm=True)
    assert torch.equal(normed[0].patches, network.norm(layers[2].patches))
    assert len(network.forward_intermediates(views, [0, 2])) == 2
    with pytest.raises(UserError, match="no layer 3: the network has 3"):
        network.forward_intermediates(views, [3])


def test_tokens_lie_where_their_patches_do() -> None:
    """Without blocks, the tokens are the embedded patches of their frame, row and column."""
    network = tiny_network(depth=1, img_size=(16, 24), pos_embed="none").eval()
    torch.nn.init.zeros_(network.blocks[0].attn.proj.weight)
    torch.nn.init.zeros_(network.blocks[0].mlp.fc2.weight)
    views = clip(height=16, width=24)
    (tokens,) = network.forward_intermediates(views)
    patch = views[1, :, 3, 8:16, 16:24]  # frame 3, row 1, column 2 of the second clip
    expected = network.patch_embed.proj(patch[None]).flatten()
    torch.testing.assert_close(tokens.patches[1, 3, 1, 2], expected)
