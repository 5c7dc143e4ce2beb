"""Losses and parameter groups against PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F

from timesformer.config import load_config
from timesformer.models.vit import TimeSformer
from timesformer.optim import LOSS_REGISTRY, build_optimizer
from timesformer.optim.optimizers import parameter_groups, set_lr

TINY = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_hard_and_soft_labels_agree(smoothing):
    logits, labels = torch.randn(6, 5), torch.randint(5, (6,))
    loss = LOSS_REGISTRY.get("cross_entropy")
    hard = loss(logits, labels, smoothing)
    assert hard.shape == (6,)
    assert torch.allclose(hard, loss(logits, F.one_hot(labels, 5).float(), smoothing))
    mean = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert torch.allclose(hard.mean(), mean)


@pytest.mark.parametrize(
    ("method", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_optimizers_get_their_settings(method, kind):
    opts = ["SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", 0.2, "SOLVER.WEIGHT_DECAY", 0.3]
    optimizer = build_optimizer(TimeSformer(**TINY), load_config(None, opts))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == 0.2
    assert optimizer.param_groups[0]["weight_decay"] == 0.3
    if method == "sgd":
        assert optimizer.param_groups[0]["nesterov"] is True


def test_everything_decays_as_released_unless_told_otherwise():
    model = TimeSformer(**TINY)
    (group,) = parameter_groups(model, weight_decay=0.1, zero_for_1d=False)
    assert len(group["params"]) == len(list(model.parameters()))
    decayed, spared = parameter_groups(model, weight_decay=0.1, zero_for_1d=True)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    spared_names = {names[id(p)] for p in spared["params"]}
    assert {"model.pos_embed", "model.cls_token", "model.time_embed"} <= spared_names
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_the_head_may_learn_faster():
    model = TimeSformer(**TINY)
    groups = parameter_groups(model, weight_decay=0.1, zero_for_1d=True, head_lr_scale=30.0)
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_lr(optimizer, 0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == pytest.approx(6.0 if ".head." in name else 0.2), name
    assert optimizer.param_groups[0]["lr"] == 0.2  # what is logged as the learning rate
