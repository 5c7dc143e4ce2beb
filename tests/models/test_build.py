"""From a config to a model."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.models.tiny import GEOMETRY, WITHOUT_TIMESFORMER, clip, tiny_cfg
from timesformer.config import load_config
from timesformer.errors import UserError
from timesformer.models import TimeSformer, build_model
from timesformer.models.attention import ATTENTION_SCHEMES


@pytest.mark.parametrize("attention_type", ATTENTION_SCHEMES.names())
@pytest.mark.parametrize("name", ["TimeSformer", "vit_base_patch16_224"])
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


def test_a_name_gives_the_size_where_the_config_is_silent() -> None:
    cfg = load_config(None, ["MODEL.MODEL_NAME", "timesformer_small"])
    with torch.device("meta"):
        geometry = build_model(cfg).model.geometry
    assert (geometry["embed_dim"], geometry["depth"], geometry["num_heads"]) == (384, 12, 6)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        (
            "timesformer_small",
            {"TIMESFORMER__DEPTH": 12, "TIMESFORMER__NUM_HEADS": 6},
            "timesformer_small means TIMESFORMER.EMBED_DIM 384, .* says 24",
        ),
        (
            "timesformer_hr",
            {
                "DATA__TRAIN_JITTER_SCALES": [448, 512],
                "DATA__TRAIN_CROP_SIZE": 448,
                "TIMESFORMER__EMBED_DIM": 0,
                "TIMESFORMER__DEPTH": 0,
                "TIMESFORMER__NUM_HEADS": 0,
            },
            "timesformer_hr means DATA.NUM_FRAMES 16, .* says 4",
        ),
    ],
)
def test_a_config_may_not_contradict_the_name(
    name: str, changes: dict[str, int], sentence: str
) -> None:
    cfg = tiny_cfg(MODEL__MODEL_NAME=name, **changes)
    with pytest.raises(UserError, match=sentence):
        build_model(cfg)


@pytest.mark.parametrize("name", ["resnet18_average", "resnet18_lstm"])
def test_baselines_are_built_from_a_config(name: str) -> None:
    model = build_model(tiny_cfg(MODEL__MODEL_NAME=name, **WITHOUT_TIMESFORMER)).eval()
    assert model(clip(height=32, width=32)).shape == (2, 5)


def test_crops_are_whole_numbers_of_patches_where_there_are_patches() -> None:
    sizes = {"DATA__TRAIN_CROP_SIZE": 20, "DATA__TEST_CROP_SIZE": 20}
    with pytest.raises(UserError, match="TRAIN_CROP_SIZE 20 must be a multiple of .*PATCH_SIZE 8"):
        build_model(tiny_cfg(**sizes))
    with pytest.raises(UserError, match="TEST_CROP_SIZE 20 must be a multiple of .*PATCH_SIZE 8"):
        build_model(tiny_cfg(DATA__TEST_CROP_SIZE=20))
    without = WITHOUT_TIMESFORMER | {"DATA__TRAIN_CROP_SIZE": 36, "DATA__TEST_CROP_SIZE": 36}
    assert build_model(tiny_cfg(MODEL__MODEL_NAME="resnet18_average", **without))


def test_a_key_that_a_model_has_no_use_for_is_refused() -> None:
    cfg = tiny_cfg(
        MODEL__MODEL_NAME="resnet18_lstm", **WITHOUT_TIMESFORMER, TIMESFORMER__POS_EMBED="none"
    )
    with pytest.raises(UserError, match="POS_EMBED is 'none', .*resnet18_lstm has no use for it"):
        build_model(cfg)


@pytest.mark.parametrize("frozen", [0, 1, 2, 3])
def test_the_lowest_layers_do_not_learn(frozen: int) -> None:
    model = build_model(tiny_cfg(SOLVER__FROZEN_LAYERS=frozen))
    layers = model.parameter_layers()
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {name for name, layer in layers.items() if layer >= frozen}
    assert {"model.norm.weight", "model.head.weight"} <= learning
    model(clip()).sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == learning


def test_frozen_layers_drop_nothing() -> None:
    rates = {"TIMESFORMER__DROP_PATH_RATE": 0.9, "TIMESFORMER__ATTN_DROP_RATE": 0.5}
    frozen = build_model(tiny_cfg(SOLVER__FROZEN_LAYERS=3, **rates))
    assert torch.equal(frozen(clip()), frozen(clip()))
    learning = build_model(tiny_cfg(SOLVER__FROZEN_LAYERS=2, **rates))
    assert not torch.equal(learning(clip()), learning(clip()))


def test_what_learns_must_be_there() -> None:
    with pytest.raises(UserError, match="FROZEN_LAYERS is 4, but this model has 3 layers below"):
        build_model(tiny_cfg(SOLVER__FROZEN_LAYERS=4))
    without = tiny_cfg(
        MODEL__MODEL_NAME="resnet18_lstm", **WITHOUT_TIMESFORMER, SOLVER__FROZEN_LAYERS=1
    )
    with pytest.raises(UserError, match="has 0 layers below its last norm and head"):
        build_model(without)


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
        TIMESFORMER__POS_EMBED_INIT="sincos",
        TIMESFORMER__POS_EMBED_STD=0.5,
        TIMESFORMER__TIME_EMBED_STD=0.02,
        TIMESFORMER__HEAD_HIDDEN_DIM=11,
        TIMESFORMER__TEMPORAL_FC_ZERO_INIT=False,
        TIMESFORMER__GRAD_CHECKPOINTING=True,
    )
    network = build_model(cfg).model
    block = network.blocks[2]
    assert len(network.blocks) == 3
    assert network.grid == (3, 6, 6)
    assert network.patch_embed.proj.weight.shape == (32, 3, 4, 4)
    assert network.head.fc1.out_features == 11
    assert network.head.fc2.out_features == 7
    assert not network.pos_embed[0, 0].any()  # sines and cosines know no class token
    assert network.pos_embed[0, 1:].square().mean().sqrt().item() == pytest.approx(0.5, rel=1e-3)
    assert block.mlp.fc1.out_features == 64
    assert block.attn.qkv.bias is None
    assert (block.attn.num_heads, block.attn.attn_drop_rate) == (4, 0.2)
    assert (network.pos_drop.p, block.mlp.drop.p, block.attn.proj_drop.p) == (0.1, 0.1, 0.1)
    assert block.drop_path.rate == pytest.approx(0.3)
    assert network.time_embed.any()
    assert block.temporal_fc.weight.any()
    assert network.recomputed


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
