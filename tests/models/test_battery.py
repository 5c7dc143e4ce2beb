"""What every registered model does with every attention scheme, at a tiny size."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.models.tiny import FROM_SCRATCH, GEOMETRY, clip
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, VideoClassifier
from timesformer.models.attention import ATTENTION_SCHEMES


@pytest.fixture(params=MODEL_REGISTRY.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=ATTENTION_SCHEMES.names())
def attention_type(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(name: str, attention_type: str) -> VideoClassifier:
    torch.manual_seed(0)
    return build(name, attention_type)


def build(name: str, attention_type: str, **changes: object) -> VideoClassifier:
    geometry = {**GEOMETRY, **FROM_SCRATCH, "attention_type": attention_type, **changes}
    return MODEL_REGISTRY.get(name)(**geometry)


def gradients(model: VideoClassifier) -> Iterator[torch.Tensor | None]:
    return (parameter.grad for parameter in model.parameters())


def test_logits_in_training_and_evaluation(model: VideoClassifier) -> None:
    for mode in (True, False):
        logits = model.train(mode)(clip())
        assert logits.shape == (2, 5)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


def test_every_parameter_gets_a_gradient(model: VideoClassifier) -> None:
    model(clip()).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_evaluation_is_deterministic_and_knows_no_batch(model: VideoClassifier) -> None:
    model.eval()
    together = model(clip(batch=3))
    assert torch.equal(together, model(clip(batch=3)))
    alone = torch.cat([model(one) for one in clip(batch=3).split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_checkpointing_equals_plain_bit_for_bit(name: str, attention_type: str) -> None:
    model = build(name, attention_type, drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.5)
    results = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        torch.manual_seed(3)
        logits = model(clip())
        logits.square().sum().backward()
        results.append([logits, *gradients(model)])
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))


def test_checkpointing_keeps_no_activations_of_a_block(model: VideoClassifier) -> None:
    def saved_elements() -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            model(clip())
        return sum(sizes)

    plain = saved_elements()
    model.set_grad_checkpointing(True)
    assert saved_elements() < plain / 3


@pytest.mark.parametrize(
    ("frames", "height", "width"), [(1, 16, 16), (7, 16, 16), (4, 32, 32), (3, 8, 40), (4, 24, 16)]
)
def test_other_lengths_and_sizes_than_it_was_built_for(
    model: VideoClassifier, frames: int, height: int, width: int
) -> None:
    logits = model(clip(frames=frames, height=height, width=width))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_rectangular_network(name: str, attention_type: str) -> None:
    model = build(name, attention_type, img_size=(16, 40))
    assert model(clip(height=16, width=40)).shape == (2, 5)


def test_without_a_head_it_gives_features(name: str, attention_type: str) -> None:
    model = build(name, attention_type, num_classes=0).eval()
    assert torch.equal(model(clip()), model.forward_features(clip()))
    assert model(clip()).shape == (2, 24)


def test_logits_are_the_head_of_the_features(model: VideoClassifier) -> None:
    head = dict(model.named_modules())["model.head"]
    assert torch.equal(head(model.eval().forward_features(clip())), model(clip()))


def test_sizes_that_do_not_divide_into_patches_are_refused(model: VideoClassifier) -> None:
    with pytest.raises(UserError, match="20 x 16 pixels do not divide into patches of 8"):
        model(clip(height=20))


def test_clips_of_another_layout_are_refused(model: VideoClassifier) -> None:
    with pytest.raises(
        UserError, match=r"\(batch, 3, frames, height, width\).*\(2, 4, 3, 16, 16\)"
    ):
        model(clip().transpose(1, 2))


def test_no_weight_decay_names_parameters_of_the_model(
    model: VideoClassifier, attention_type: str
) -> None:
    names = model.no_weight_decay()
    assert names <= {name for name, _ in model.named_parameters()}
    assert ("model.time_embed" in names) == (attention_type != "space_only")
