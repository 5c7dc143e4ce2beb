"""What every registered model does, at a size that a test can afford; and every attention scheme.

The attention schemes go through it as ``TimeSformer``, the other names with the scheme they have.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import FROM_SCRATCH, GEOMETRY, clip
from timesformer.errors import UserError
from timesformer.models import MODEL_REGISTRY, VideoClassifier
from timesformer.models.attention import ATTENTION_SCHEMES
from timesformer.models.vit import SIZES, VARIANTS

BASELINES = [name for name in MODEL_REGISTRY.names() if name.startswith("resnet")]
TRANSFORMERS = [name for name in MODEL_REGISTRY.names() if name not in BASELINES]
SCHEMES = [f"TimeSformer {scheme}" for scheme in ATTENTION_SCHEMES.names()]
CASES = SCHEMES + [n for n in TRANSFORMERS if n != "TimeSformer"] + BASELINES


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """A registered name, and behind it perhaps an attention scheme."""
    return request.param


@pytest.fixture(params=SCHEMES + BASELINES[:2])
def network_case(request: pytest.FixtureRequest) -> str:
    """One case for each kind of network, where the name alone cannot make a difference."""
    return request.param


def build(case: str, **changes: Any) -> VideoClassifier:
    """The model of `case` with five classes, the same weights on every call."""
    torch.manual_seed(0)
    name, _, scheme = case.partition(" ")
    if name in BASELINES:
        return MODEL_REGISTRY.get(name)(**{"num_classes": 5, **changes})
    chosen = {"attention_type": scheme} if scheme else {}
    return MODEL_REGISTRY.get(name)(**{**GEOMETRY, **FROM_SCRATCH, **chosen, **changes})


def is_transformer(case: str) -> bool:
    return case.partition(" ")[0] in TRANSFORMERS


def gradients(model: nn.Module) -> Iterator[Tensor | None]:
    return (parameter.grad for parameter in model.parameters())


def test_logits_in_training_and_evaluation(case: str) -> None:
    model = build(case)
    for mode in (True, False):
        logits = model.train(mode)(clip())
        assert logits.shape == (2, 5)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


def test_every_parameter_gets_a_gradient(case: str) -> None:
    model = build(case)
    model(clip()).square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_evaluation_is_deterministic_and_knows_no_batch(case: str) -> None:
    model = build(case).eval()
    together = model(clip(batch=3))
    assert torch.equal(together, model(clip(batch=3)))
    alone = torch.cat([model(one) for one in clip(batch=3).split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_checkpointing_equals_plain_bit_for_bit(network_case: str) -> None:
    dropout = {"attn_drop_rate": 0.1, "drop_path_rate": 0.5} if is_transformer(network_case) else {}
    results = []
    for enable in (False, True):
        model = build(network_case, drop_rate=0.1, **dropout)
        model.set_grad_checkpointing(enable)
        torch.manual_seed(3)
        logits = model(clip())
        logits.square().sum().backward()
        results.append([logits, *gradients(model), *model.buffers()])
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))


def test_checkpointing_keeps_few_activations(network_case: str) -> None:
    model = build(network_case)

    def saved_elements() -> int:
        sizes: list[int] = []
        own = {parameter.data_ptr() for parameter in model.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(0 if tensor.data_ptr() in own else tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(clip())
        return sum(sizes)

    plain = saved_elements()
    model.set_grad_checkpointing(True)
    assert saved_elements() < 0.7 * plain


@pytest.mark.parametrize(
    ("frames", "height", "width"), [(1, 16, 16), (7, 16, 16), (4, 32, 32), (3, 8, 40), (4, 24, 16)]
)
def test_other_lengths_and_sizes_than_it_was_built_for(
    network_case: str, frames: int, height: int, width: int
) -> None:
    logits = build(network_case)(clip(frames=frames, height=height, width=width))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_bfloat16_is_close_to_float32(network_case: str) -> None:
    model = build(network_case).eval()
    with torch.no_grad():
        exact = model(clip())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(clip()).float()
    # bfloat16 keeps 8 bits: about 0.4 % an operation, and a few of them in a row.
    assert (rounded - exact).abs().max() < 0.05 * exact.abs().max()
    assert not torch.equal(rounded, exact)


def test_it_exports_to_a_program_that_computes_the_same(network_case: str) -> None:
    model = build(network_case).eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes self.rnn._flat_weights")
        program = torch.export.export(model, (clip(),))
    torch.testing.assert_close(program.module()(clip()), model(clip()), rtol=1e-5, atol=1e-6)


def test_without_a_head_it_gives_features(case: str) -> None:
    model = build(case, num_classes=0).eval()
    assert torch.equal(model(clip()), model.forward_features(clip()))
    assert model(clip()).ndim == 2


def test_logits_are_the_head_of_the_features(case: str) -> None:
    model = build(case).eval()
    head = getattr(model, "model", model).head
    assert torch.equal(head(model.forward_features(clip())), model(clip()))


def test_clips_of_another_layout_are_refused(case: str) -> None:
    expected = r"\(batch, 3, frames, height, width\).*\(2, 4, 3, 16, 16\)"
    with pytest.raises(UserError, match=expected):
        build(case)(clip().transpose(1, 2))


def test_no_weight_decay_names_parameters_of_the_model(case: str) -> None:
    model = build(case)
    names = model.no_weight_decay()
    assert names <= {name for name, _ in model.named_parameters()}
    assert ("model.pos_embed" in names) == is_transformer(case)
    assert ("model.time_embed" in names) == (is_transformer(case) and "space_only" not in case)


@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_rectangular_network(scheme: str) -> None:
    model = build(f"TimeSformer {scheme}", img_size=(16, 40))
    assert model(clip(height=16, width=40)).shape == (2, 5)


@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_sizes_that_do_not_divide_into_patches_are_refused(scheme: str) -> None:
    with pytest.raises(UserError, match="20 x 16 pixels do not divide into patches of 8"):
        build(f"TimeSformer {scheme}")(clip(height=20))


@pytest.mark.parametrize("name", [*SIZES, *VARIANTS])
def test_a_name_means_what_it_states(name: str) -> None:
    stated = SIZES.get(name) or VARIANTS[name]
    with torch.device("meta"):
        geometry = MODEL_REGISTRY.get(f"timesformer_{name}")().model.geometry
    usual = {"embed_dim": 768, "depth": 12, "num_heads": 12, "patch_size": 16, "img_size": 224}
    assert geometry.items() >= {**usual, "num_frames": 8, "num_classes": 400, **stated}.items()


@pytest.mark.parametrize(
    ("name", "patch_size", "parameters"),
    [
        ("tiny", 16, 5_524_416),
        ("small", 16, 21_665_664),
        ("base", 16, 85_798_656),
        ("large", 16, 303_301_632),
        ("huge", 14, 630_764_800),
    ],
)
def test_sizes_are_those_of_vit(name: str, patch_size: int, parameters: int) -> None:
    """Without a head and on single frames, they are timm's ``vit_NAME_patchP_224``."""
    with torch.device("meta"):
        model = MODEL_REGISTRY.get(f"timesformer_{name}")(
            num_classes=0, patch_size=patch_size, attention_type="space_only"
        )
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
