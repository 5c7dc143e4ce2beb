"""The average of the weights against the formula in float64, and what it needs to be continued."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.models.tiny import WITHOUT_TIMESFORMER, tiny_cfg, tiny_network
from timesformer.models import build_model
from timesformer.optim import Ema, build_ema


def move(model: nn.Module, step: int) -> None:
    """Weights as a training would have them: other ones in each step, known by the step."""
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_the_average_is_that_of_the_formula():
    model = tiny_network()
    ema = Ema(model, decay=0.5)
    expected = model.head.weight.detach().double()
    for step in range(1, 21):
        move(model, step)
        ema.update(step)
        keep = min(0.5, (step - 1) / (step + 8))
        expected = keep * expected + (1 - keep) * model.head.weight.detach().double()
    # Twenty roundings of numbers of about 1 to float32.
    assert torch.allclose(ema.module.head.weight.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("step", "keep"), [(1, 0.0), (2, 0.1), (10, 0.5), (82, 0.9), (9999, 0.9)])
def test_the_decay_is_warmed_up(step, keep):
    assert Ema(nn.Linear(1, 1), decay=0.9).decay_at(step) == pytest.approx(keep)


def test_the_first_step_takes_the_weights_whatever_was_there_before():
    """Pretrained weights are loaded after the average was made."""
    model = tiny_network()
    ema = Ema(model, decay=0.9999)
    move(model, step=1)
    ema.update(1)
    assert same(ema.state_dict(), model.state_dict())


def test_step_and_tensors_are_the_whole_state():
    model = tiny_network()
    whole, first = Ema(model, 0.9), Ema(model, 0.9)
    for step in range(1, 13):
        move(model, step)
        whole.update(step)
        if step <= 6:
            first.update(step)
        if step == 6:
            written = {name: tensor.clone() for name, tensor in first.state_dict().items()}
            continued = Ema(model, 0.9)
            continued.load_state_dict(written)
        elif step > 6:
            continued.update(step)
    assert same(continued.state_dict(), whole.state_dict())
    assert not same(first.state_dict(), whole.state_dict())


def test_narrow_weights_are_averaged_in_float32():
    """A bfloat16 near 1 moves by 1/128 or not at all: a sum of small parts would stand still."""
    model = nn.Linear(4, 4).to(torch.bfloat16)
    ema = Ema(model, decay=0.999)
    nn.init.zeros_(model.weight)
    ema.update(1)
    nn.init.ones_(model.weight)
    keep = 1.0
    for step in range(10_000, 10_100):
        ema.update(step)
        keep *= 0.999
    assert ema.module.weight.dtype == torch.float32
    assert torch.allclose(ema.module.weight, torch.full((4, 4), 1 - keep), atol=1e-5)


def test_statistics_are_averaged_and_counters_copied():
    cfg = tiny_cfg(MODEL__MODEL_NAME="resnet18_average", **WITHOUT_TIMESFORMER)
    model = build_model(cfg)
    ema = Ema(model, decay=0.5)
    norm, averaged = model.backbone.bn1, ema.module.backbone.bn1
    for step, mean in ((1, 0.0), (20, 1.0)):
        norm.running_mean.fill_(mean)
        norm.num_batches_tracked.fill_(step)
        ema.update(step)
    assert torch.equal(averaged.running_mean, torch.full_like(norm.running_mean, 0.5))
    assert int(averaged.num_batches_tracked) == 20
    assert averaged.num_batches_tracked.dtype == torch.int64


def test_the_averaged_model_is_one_to_evaluate_with():
    model = tiny_network().train()
    ema = Ema(model, 0.9)
    assert model.training
    assert not ema.module.training
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert ema.state_dict().keys() == model.state_dict().keys()


def test_none_unless_asked_for():
    model = tiny_network()
    assert build_ema(model, tiny_cfg()) is None
    ema = build_ema(model, tiny_cfg(TRAIN__EMA_DECAY=0.99))
    assert ema is not None
    assert ema.decay == 0.99


def test_weights_of_another_model_are_refused():
    with pytest.raises(RuntimeError, match="size mismatch"):
        Ema(tiny_network(), 0.9).load_state_dict(tiny_network(num_classes=7).state_dict())
