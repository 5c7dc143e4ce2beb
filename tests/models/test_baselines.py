"""The frame-by-frame baselines, against their definitions and plain PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import clip
from timesformer.errors import UserError
from timesformer.models.baselines import FrameResNet
from timesformer.models.build import MODEL_REGISTRY

NAMES = ("resnet18_average", "resnet18_lstm", "resnet50_average", "resnet50_lstm")
SMALL = NAMES[:2]


def build(name: str, **changes: Any) -> FrameResNet:
    """The registered model, the same weights on every call; five classes."""
    torch.manual_seed(0)
    model = MODEL_REGISTRY.get(name)(**{"num_classes": 5, **changes})
    assert isinstance(model, FrameResNet)
    return model


@pytest.fixture(params=SMALL)
def model(request: pytest.FixtureRequest) -> FrameResNet:
    return build(request.param)


def train_steps(model: FrameResNet, steps: int = 1) -> list[Tensor]:
    """Forward and backward `steps` times with the same dropout; the logits."""
    torch.manual_seed(3)
    logits = [model(clip(frames=3)) for _ in range(steps)]
    torch.stack(logits).square().sum().backward()
    return logits


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def saved_elements(run: Callable[[], object]) -> int:
    """How many numbers autograd keeps for the backward pass of `run`."""
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(sizes)


def test_the_names_are_registered() -> None:
    assert set(NAMES) <= set(MODEL_REGISTRY.names())
    assert MODEL_REGISTRY.get("resnet18_average")().head.out_features == 400


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_and_an_evaluation(name: str) -> None:
    model = build(name, in_chans=3, drop_rate=0.0, pretrained_model="")
    (logits,) = train_steps(model)
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    for result in (logits, model.eval()(clip())):
        assert result.shape == (2, 5)
        assert result.dtype == torch.float32
        assert result.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_parameter_names_are_those_of_torchvision(name: str) -> None:
    from torchvision.models import resnet

    torchvision = getattr(resnet, name.split("_")[0])().state_dict()
    theirs = {f"backbone.{key}" for key in torchvision if not key.startswith("fc.")}
    ours = set(build(name).state_dict())
    assert theirs <= ours
    rooms = {key.split(".")[0] for key in ours - theirs}
    assert rooms == ({"head", "rnn"} if name.endswith("lstm") else {"head"})


def test_average_is_the_mean_of_the_scores_of_single_frames() -> None:
    model = build("resnet18_average").eval()
    frames = clip(frames=3).unbind(2)
    scores = torch.stack([model.head(model.backbone(frame)) for frame in frames]).mean(0)
    torch.testing.assert_close(model(clip(frames=3)), scores)


def test_lstm_is_judged_by_its_state_after_the_last_frame() -> None:
    model = build("resnet18_lstm", hidden_dim=7).eval()
    weights = dict(model.rnn.named_parameters())
    hidden = cell = torch.zeros(2, 7)
    for frame in clip(frames=3).unbind(2):
        pushed = model.backbone(frame) @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        recalled = hidden @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        let_in, forget, new, out = (pushed + recalled).chunk(4, dim=1)
        cell = forget.sigmoid() * cell + let_in.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
    torch.testing.assert_close(model.forward_features(clip(frames=3)), hidden)
    torch.testing.assert_close(model(clip(frames=3)), model.head(hidden))


def test_only_the_lstm_sees_the_order_of_frames() -> None:
    average, lstm = (build(name).eval() for name in SMALL)
    torch.testing.assert_close(average(clip().flip(2)), average(clip()))
    assert not torch.allclose(lstm(clip().flip(2)), lstm(clip()), rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_equals_plain_bit_for_bit(name: str) -> None:
    plain = build(name, drop_rate=0.5)
    again = copy.deepcopy(plain)
    again.set_grad_checkpointing(True)
    before = running_statistics(plain)
    assert torch.equal(train_steps(plain)[0], train_steps(again)[0])
    for own, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad)
    for key, buffer in again.named_buffers():
        assert torch.equal(buffer, plain.get_buffer(key)), key
        assert not torch.equal(buffer, before[key]), key


def test_checkpointing_equals_plain_over_two_passes_in_one_backward() -> None:
    plain = build("resnet18_average")
    again = copy.deepcopy(plain)
    again.set_grad_checkpointing(True)
    train_steps(plain, steps=2)
    train_steps(again, steps=2)
    assert again.backbone.bn1.num_batches_tracked == 2
    for key, value in running_statistics(plain).items():
        assert torch.equal(again.get_buffer(key), value), key
    for own, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad)


def test_checkpointing_allows_a_second_backward(model: FrameResNet) -> None:
    model.set_grad_checkpointing(True)
    loss = model(clip()).square().sum()
    loss.backward(retain_graph=True)
    once = [parameter.grad.clone() for parameter in model.parameters()]
    loss.backward()
    for parameter, grad in zip(model.parameters(), once, strict=True):
        assert torch.equal(parameter.grad, 2 * grad)
    assert model.backbone.bn1.num_batches_tracked == 1


def test_checkpointing_leaves_the_buffers_the_objects_they_were(model: FrameResNet) -> None:
    model.set_grad_checkpointing(True)
    before = list(model.buffers())
    train_steps(model)
    assert all(a is b for a, b in zip(model.buffers(), before, strict=True))


def test_checkpointing_in_evaluation_leaves_the_statistics_alone(model: FrameResNet) -> None:
    model.eval()
    expected, before = model(clip()), running_statistics(model)
    model.set_grad_checkpointing(True)
    logits = model(clip())
    logits.sum().backward()
    assert torch.equal(logits, expected)
    assert all(torch.equal(model.get_buffer(key), value) for key, value in before.items())


def test_checkpointing_can_be_taken_back_and_keeps_less(model: FrameResNet) -> None:
    run = lambda: model(clip(height=64, width=64))  # noqa: E731
    plain = saved_elements(run)
    model.set_grad_checkpointing(True)
    assert saved_elements(run) < plain / 3
    model.set_grad_checkpointing(False)
    assert saved_elements(run) == plain


@pytest.mark.parametrize(
    ("batch", "frames", "height", "width"),
    [(1, 1, 33, 32), (1, 7, 32, 32), (3, 2, 40, 72), (2, 1, 16, 16)],
)
def test_any_number_and_size_of_frames(
    model: FrameResNet, batch: int, frames: int, height: int, width: int
) -> None:
    for mode in (True, False):
        logits = model.train(mode)(clip(batch, frames, height, width))
        assert logits.shape == (batch, 5)
        assert logits.isfinite().all()


@pytest.mark.parametrize("in_chans", [1, 4])
def test_other_channels(in_chans: int) -> None:
    model = build("resnet18_average", in_chans=in_chans)
    assert model(torch.zeros(2, in_chans, 3, 32, 32)).shape == (2, 5)
    # Like torchvision's: normal, of variance 2 / (outputs of a pixel).
    assert model.backbone.conv1.weight.std().item() == pytest.approx(
        (2 / (64 * 49)) ** 0.5, rel=0.1
    )


def test_unknown_backbones_are_refused() -> None:
    with pytest.raises(UserError, match=r"'resnet19' is not a known backbone.*resnet18, resnet50"):
        FrameResNet(backbone="resnet19")


@pytest.mark.parametrize(("name", "width"), list(zip(NAMES, (512, 512, 2048, 512), strict=True)))
def test_without_a_head_it_gives_features(name: str, width: int) -> None:
    model = build(name, num_classes=0).eval()
    assert torch.equal(model(clip()), model.forward_features(clip()))
    assert model(clip()).shape == (2, width)


@pytest.mark.parametrize("name", SMALL)
def test_dropout_is_for_training_alone(name: str) -> None:
    plain, dropping = build(name), build(name, drop_rate=0.9)
    with torch.no_grad():
        assert not torch.allclose(dropping(clip()), plain(clip()))
        assert torch.equal(dropping.eval()(clip()), plain.eval()(clip()))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_built_on_the_meta_device(name: str) -> None:
    with torch.device("meta"):
        model = build(name, in_chans=2)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


# PyTorch's own LSTM keeps its weights in a second list, and that is what the exporter remarks.
def test_weights_come_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "weights.pth"
    source = FrameResNet(num_classes=5, hidden_dim=8)
    torch.save(source.state_dict(), path)
    with caplog.at_level("INFO", logger="timesformer"):
        model = FrameResNet(num_classes=5, hidden_dim=8, pretrained_model=str(path))
    assert str(path) in caplog.text
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_missing_weights_file_is_named() -> None:
    with pytest.raises(UserError, match="nowhere.pth"):
        build("resnet18_average", pretrained_model="nowhere.pth")
