"""Losses and parameter groups against PyTorch's own."""

import copy

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


def after_steps(optimizer, model, number, first=0):
    """The weights after some steps, with gradients that are a function of the step."""
    for step in range(first, first + number):
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def step_by_step(optimizer):
    """The same optimiser as PyTorch writes it down, one weight after the other."""
    settings = {
        name: value
        for name, value in optimizer.defaults.items()
        if name in ("lr", "betas", "eps", "momentum", "dampening", "nesterov")
    }
    groups = [
        {"params": group["params"], "weight_decay": group["weight_decay"], "lr_scale": 1.0}
        for group in optimizer.param_groups
    ]
    return type(optimizer)(groups, **settings, fused=False, foreach=False)


METHODS = ["sgd", "adam", "adamw"]


def pair(method):
    """A model with our optimiser, and its copy with PyTorch's plain one."""
    opts = ["SOLVER.OPTIMIZING_METHOD", method, "SOLVER.BASE_LR", 0.01, "SOLVER.WEIGHT_DECAY", 0.1]
    cfg = load_config(None, opts)
    model = TimeSformer(**TINY)
    twin = copy.deepcopy(model)
    return (model, build_optimizer(model, cfg)), (twin, step_by_step(build_optimizer(twin, cfg)))


@pytest.mark.parametrize("method", METHODS)
def test_one_kernel_for_a_step_steps_as_the_formula_does(method):
    (model, fused), (twin, plain) = pair(method)
    assert all(group["fused"] for group in fused.param_groups)
    for one, other in zip(after_steps(fused, model, 10), after_steps(plain, twin, 10), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_state_of_plain_steps_goes_on_in_one_kernel(method):
    """Checkpoints of older versions carry other flags; the new run's way of stepping wins."""
    (model, fused), (twin, plain) = pair(method)
    after_steps(plain, twin, 3)
    model.load_state_dict(twin.state_dict())
    fused.load_state_dict(copy.deepcopy(plain.state_dict()))
    assert all(group["fused"] and not group["foreach"] for group in fused.param_groups)
    going_on = (after_steps(fused, model, 3, 3), after_steps(plain, twin, 3, 3))
    for one, other in zip(*going_on, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_a_state_of_plain_steps_lands_where_a_fused_step_needs_it():
    cfg = load_config(None, ["SOLVER.OPTIMIZING_METHOD", "adamw"])
    model = TimeSformer(**TINY)
    plain = step_by_step(build_optimizer(model, cfg))
    after_steps(plain, model, 1)
    on_gpu = copy.deepcopy(model).cuda()
    fused = build_optimizer(on_gpu, cfg)
    fused.load_state_dict(plain.state_dict())
    assert {value["step"].device.type for value in fused.state.values()} == {"cuda"}
