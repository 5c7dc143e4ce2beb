"""Learning rates of layers, head and batch: what each parameter really gets, and what is said."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import WITHOUT_TIMESFORMER, tiny_cfg, tiny_network
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, build_model
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.optim import batch_scale, build_optimizer, describe_optimizer, lr_at, set_lr
from timesformer.optim.optimizers import parameter_groups


def rates(model, cfg, clips=8, epoch=0.0):
    """The learning rate of each parameter by name, as the training loop sets it."""
    optimizer = build_optimizer(model, cfg, batch_scale(cfg, clips))
    set_lr(optimizer, lr_at(epoch, cfg))
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(parameter)] for name, parameter in model.named_parameters()}


# Of the full rate, for two blocks and a decay of 0.5: 0.5 ** (3 - layer).
SCALES = {
    "model.cls_token": 0.125,
    "model.pos_embed": 0.125,
    "model.time_embed": 0.125,
    "model.patch_embed.proj.weight": 0.125,
    "model.patch_embed.proj.bias": 0.125,
    "model.blocks.0.temporal_attn.qkv.weight": 0.25,
    "model.blocks.0.norm1.bias": 0.25,
    "model.blocks.1.temporal_fc.weight": 0.5,
    "model.blocks.1.mlp.fc2.bias": 0.5,
    "model.norm.weight": 1.0,
    "model.norm.bias": 1.0,
    "model.head.weight": 1.0,
    "model.head.bias": 1.0,
}


@pytest.mark.parametrize("zero_for_1d", [False, True])
@pytest.mark.parametrize("head_scale", [1.0, 30.0])
def test_rates_of_the_layers(zero_for_1d, head_scale):
    cfg = tiny_cfg(
        SOLVER__BASE_LR=0.2,
        SOLVER__LAYER_DECAY=0.5,
        SOLVER__ZERO_WD_1D_PARAM=zero_for_1d,
        SOLVER__HEAD_LR_SCALE=head_scale,
    )
    model = build_model(cfg)
    got = rates(model, cfg)
    for name, scale in SCALES.items():
        scale *= head_scale if ".head." in name else 1.0
        assert got[name] == pytest.approx(0.2 * scale), name
    expected = sorted({0.125, 0.25, 0.5, 1.0, head_scale})
    assert sorted(set(got.values())) == pytest.approx([0.2 * scale for scale in expected])


def test_the_rate_in_the_log_is_the_schedules():
    cfg = tiny_cfg(SOLVER__LAYER_DECAY=0.5, SOLVER__HEAD_LR_SCALE=30.0, SOLVER__BASE_LR=0.2)
    optimizer = build_optimizer(build_model(cfg), cfg)
    set_lr(optimizer, lr_at(0, cfg))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


def test_decay_and_rate_cut_the_parameters_once():
    model = tiny_network()
    groups = parameter_groups(model, weight_decay=0.1, zero_for_1d=True, layer_decay=0.5)
    names = {id(p): name for name, p in model.named_parameters()}
    grouped = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(names.values())
    for group in groups:
        for p in group["params"]:
            is_matrix = p.ndim > 1 and names[id(p)] not in model.no_weight_decay()
            assert group["weight_decay"] == (0.1 if is_matrix else 0.0), names[id(p)]


@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_every_transformer_knows_the_layer_of_every_parameter(scheme):
    model = build_model(tiny_cfg(TIMESFORMER__ATTENTION_TYPE=scheme, TIMESFORMER__DEPTH=3))
    layers = model.parameter_layers()
    assert layers.keys() == {name for name, _ in model.named_parameters()}
    assert set(layers.values()) == {0, 1, 2, 3, 4}
    in_blocks = {name: int(name.split(".")[2]) + 1 for name in layers if ".blocks." in name}
    assert in_blocks.items() <= layers.items()


@pytest.mark.parametrize("name", MODEL_REGISTRY.names())
def test_every_model_has_layers_or_says_that_it_has_none(name):
    with torch.device("meta"):
        model = MODEL_REGISTRY.get(name)()
    cfg = tiny_cfg(SOLVER__LAYER_DECAY=0.75)
    if "resnet" in name:
        with pytest.raises(UserError, match="LAYER_DECAY is 0.75, but the model has no layers"):
            build_optimizer(model, cfg)
    else:
        assert len({g["lr_scale"] for g in build_optimizer(model, cfg).param_groups}) >= 14


@pytest.mark.parametrize(
    ("stated", "clips", "factor"), [(0, 64, 1.0), (8, 64, 8.0), (64, 64, 1.0), (256, 64, 0.25)]
)
def test_every_rate_of_the_schedule_grows_with_the_batch(stated, clips, factor):
    settings = {
        "SOLVER__WARMUP_EPOCHS": 1,
        "SOLVER__WARMUP_START_LR": 0.001,
        "SOLVER__COSINE_END_LR": 0.002,
    }
    cfg = tiny_cfg(SOLVER__BASE_LR_BATCH_SIZE=stated, **settings)
    model = build_model(cfg)
    for epoch in (0, 0.5, 1, 7.5, 15):
        (got,) = set(rates(model, cfg, clips, epoch).values())
        assert got == pytest.approx(factor * lr_at(epoch, cfg))


def test_the_log_states_rule_and_result():
    cfg = tiny_cfg(
        SOLVER__BASE_LR_BATCH_SIZE=8,
        SOLVER__LAYER_DECAY=0.5,
        SOLVER__HEAD_LR_SCALE=30.0,
        SOLVER__ZERO_WD_1D_PARAM=True,
        SOLVER__WEIGHT_DECAY=0.05,
        TRAIN__EMA_DECAY=0.999,
        SOLVER__FROZEN_LAYERS=1,
    )
    model = build_model(cfg)
    lines = describe_optimizer(build_optimizer(model, cfg, batch_scale(cfg, 64)), cfg, 64)
    learning = [p for p in model.parameters() if p.requires_grad]
    spared = [p for p in learning if p.ndim < 2]  # the embeddings do not learn
    others = [p for p in learning if p.ndim > 1]
    assert lines == [
        "learning rate 0.005 x 64 / 8 = 0.04 (SOLVER.BASE_LR_BATCH_SIZE 8)",
        "learning rate of the head: x 30 (SOLVER.HEAD_LR_SCALE)",
        "layers that do not learn, from the embeddings up: 1 (SOLVER.FROZEN_LAYERS)",
        "learning rate of each layer: x 0.5 of the layer above it (SOLVER.LAYER_DECAY)",
        f"weight decay 0.05: {len(others)} tensors, {sum(p.numel() for p in others):,} parameters, "
        "learning rate 0.01 to 1.2",
        "weight decay 0 (biases, norms, embeddings: SOLVER.ZERO_WD_1D_PARAM): "
        f"{len(spared)} tensors, {sum(p.numel() for p in spared):,} parameters, "
        "learning rate 0.01 to 1.2",
        "the weights are averaged in float32: in step n the average keeps min(0.999, "
        "(n - 1) / (n + 8)) of itself (TRAIN.EMA_DECAY)",
    ]


def test_what_is_not_asked_for_is_not_said():
    cfg = tiny_cfg()
    model = build_model(cfg)
    assert describe_optimizer(build_optimizer(model, cfg), cfg, 64) == [
        "learning rate 0.005, whatever the batch (SOLVER.BASE_LR_BATCH_SIZE 0)",
        f"weight decay 0.0001: {len(list(model.parameters()))} tensors, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters, learning rate 0.005",
    ]


def test_a_model_without_layers_trains_at_one_rate():
    cfg = tiny_cfg(MODEL__MODEL_NAME="resnet18_average", **WITHOUT_TIMESFORMER)
    assert set(rates(build_model(cfg), cfg).values()) == {0.005}
