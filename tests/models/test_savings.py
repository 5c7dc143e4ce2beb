"""What is computed is less than what is written in the paper, and comes to the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import clip, randomise, tiny_network
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.models.baselines import FrameResNet
from timesformer.models.fold import folded
from timesformer.models.layers import Mlp
from timesformer.models.transformer import VisionTransformer
from timesformer.models.vit import TimeSformer

SCHEMES = ATTENTION_SCHEMES.names()
MEAN, STD = [0.45, 0.4, 0.5], [0.225, 0.2, 0.3]


class InFull(VisionTransformer):
    """Computes every token of the last block, too."""

    def run_block(self, block: nn.Module, *args: Any, only_cls: bool = False) -> Tensor:
        return super().run_block(block, *args)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("attention_type", SCHEMES)
def test_the_last_block_for_the_class_token_alone_trains_the_same(
    attention_type: str, checkpointing: bool
) -> None:
    """Logits and every gradient, stochastic depth included, in float64."""
    network = tiny_network(attention_type, drop_path_rate=0.5).double()
    randomise(network)
    network.set_grad_checkpointing(checkpointing)
    whole = copy.deepcopy(network)
    whole.__class__ = InFull
    clips = clip().double()
    outcomes = []
    for model in (network, whole):
        torch.manual_seed(7)
        logits = model(clips)
        logits.square().sum().backward()
        outcomes.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for fast, slow in zip(*outcomes, strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-10)


def pixels(**sides: int) -> Tensor:
    """uint8 (B, 3, T, H, W), the same on every call; `sides` as in `clip`."""
    shape = clip(**sides).shape
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )


def normalised(views: Tensor, *, bgr: bool = False) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1, 1) for values in (MEAN, STD))
    return ((views.flip(1) if bgr else views) / 255 - mean) / std


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("attention_type", SCHEMES)
def test_a_folded_network_gives_the_same_logits(attention_type: str, bgr: bool) -> None:
    model = tiny_network(attention_type)
    randomise(model)
    model.eval()
    views = pixels()
    fold = folded(model, mean=MEAN, std=STD, bgr=bgr)
    assert fold is not None
    torch.testing.assert_close(fold(views), model(normalised(views, bgr=bgr)), rtol=0, atol=1e-5)
    assert torch.equal(fold(views), fold(views.float()))
    with torch.no_grad():
        assert torch.equal(fold(views), fold(views.float()))
        torch.testing.assert_close(
            fold(views), model(normalised(views, bgr=bgr)), rtol=0, atol=1e-5
        )


def test_a_folded_network_holds_what_an_mlp_widens_once() -> None:
    fold = folded(tiny_network("divided_space_time"), mean=MEAN, std=STD)
    assert fold is not None
    places: list[bool] = []
    for module in fold.modules():
        if isinstance(module, Mlp):
            module.act.register_forward_hook(
                lambda act, inputs, output: places.append(output is inputs[0])
            )
    with torch.no_grad():
        fold(pixels())
    assert places
    assert all(places)
    places.clear()
    fold(pixels()).sum().backward()  # which wants to know what the GELU was of
    assert not any(places)


def test_folding_leaves_the_model_as_it_was_and_shares_the_rest() -> None:
    model = TimeSformer(
        img_size=16, patch_size=8, num_frames=2, embed_dim=12, depth=2, num_heads=3, num_classes=5
    ).train()
    before = copy.deepcopy(model.state_dict())
    fold = folded(model, mean=MEAN, std=STD)
    assert fold is not None
    assert model.training
    assert not fold.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    own = {parameter.data_ptr() for parameter in model.parameters()}
    new = {name for name, parameter in fold.named_parameters() if parameter.data_ptr() not in own}
    assert new == {
        f"model.model.{name}.{kind}"
        for name in ("patch_embed.proj", *(f"blocks.{i}.temporal_attn.proj" for i in range(2)))
        for kind in ("weight", "bias")
    }


def test_another_model_cannot_be_folded() -> None:
    """Its convolutions are padded: with zeros, which are no pixels."""
    assert folded(FrameResNet(backbone="resnet18", num_classes=3), mean=MEAN, std=STD) is None
