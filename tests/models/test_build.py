"""From a config to a model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.models.tiny import GEOMETRY, clip, tiny_cfg
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, TimeSformer, build_model
from timesformer.models.attention import ATTENTION_SCHEMES


@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
@pytest.mark.parametrize("name", MODEL_REGISTRY.names())
def test_config_and_keywords_build_the_same_model(name: str, attention_type: str) -> None:
    cfg = tiny_cfg(MODEL__MODEL_NAME=name, TIMESFORMER__ATTENTION_TYPE=attention_type)
    torch.manual_seed(0)
    from_cfg = build_model(cfg)
    torch.manual_seed(0)
    by_hand = TimeSformer(**GEOMETRY, attention_type=attention_type, drop_path_rate=0.1)
    assert str(from_cfg) == str(by_hand)
    for (a, one), (b, other) in zip(
        from_cfg.state_dict().items(), by_hand.state_dict().items(), strict=True
    ):
        assert a == b
        assert a.startswith("model.")
        assert torch.equal(one, other)


def test_every_key_reaches_the_network() -> None:
    cfg = tiny_cfg(
        MODEL__NUM_CLASSES=7,
        DATA__TRAIN_CROP_SIZE=24,
        DATA__NUM_FRAMES=3,
        TIMESFORMER__PATCH_SIZE=4,
        TIMESFORMER__EMBED_DIM=32,
        TIMESFORMER__DEPTH=3,
        TIMESFORMER__NUM_HEADS=4,
        TIMESFORMER__MLP_RATIO=2.0,
        TIMESFORMER__QKV_BIAS=False,
        TIMESFORMER__DROP_RATE=0.1,
        TIMESFORMER__ATTN_DROP_RATE=0.2,
        TIMESFORMER__DROP_PATH_RATE=0.3,
        TIMESFORMER__TIME_EMBED_STD=0.02,
        TIMESFORMER__TEMPORAL_FC_ZERO_INIT=False,
        TIMESFORMER__GRAD_CHECKPOINTING=True,
    )
    network = build_model(cfg).model
    block = network.blocks[2]
    assert len(network.blocks) == 3
    assert network.grid == (3, 6, 6)
    assert network.patch_embed.proj.weight.shape == (32, 3, 4, 4)
    assert network.head.out_features == 7
    assert block.mlp.fc1.out_features == 64
    assert block.attn.qkv.bias is None
    assert (block.attn.num_heads, block.attn.attn_drop_rate) == (4, 0.2)
    assert (network.pos_drop.p, block.mlp.drop.p, block.attn.proj_drop.p) == (0.1, 0.1, 0.1)
    assert block.drop_path.rate == pytest.approx(0.3)
    assert network.time_embed.any()
    assert block.temporal_fc.weight.any()
    assert network.grad_checkpointing


def test_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'TimeSformer'.*vit_base_patch16_224"):
        build_model(tiny_cfg(MODEL__MODEL_NAME="Timesformer"))


def test_pretrained_weights_are_loaded_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("timesformer"), "propagate", True)
    trained = build_model(tiny_cfg()).eval()
    path = tmp_path / "weights.pth"
    torch.save({"model_state": trained.state_dict()}, path)
    with caplog.at_level(logging.INFO, logger="timesformer"):
        model = build_model(tiny_cfg(TIMESFORMER__PRETRAINED_MODEL=str(path))).eval()
    assert torch.equal(model(clip()), trained(clip()))
    assert f"Weights from {path}" in caplog.text


def test_released_call_from_python() -> None:
    with torch.device("meta"):
        model = TimeSformer(
            img_size=224,
            num_classes=400,
            num_frames=8,
            attention_type="divided_space_time",
            pretrained_model="",
        )
        assert model(torch.empty(1, 3, 8, 224, 224)).shape == (1, 400)
