"""Parity with the released implementation, by tensors it computed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from tests.models.tiny import load_state
from tests.shared_data import GOLDEN, needs_golden
from timesformer.models import TimeSformer, VisionTransformer

pytestmark = needs_golden

PARAMETERS = {
    "divided_space_time": 121_566_352,
    "joint_space_time": 86_112_400,
    "space_only": 86_106_256,
}


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def geometry_of(attention_type: str) -> dict[str, Any]:
    meta = json.loads((GOLDEN / "model" / "meta.json").read_text())[attention_type]
    return {key: value for key, value in meta.items() if key not in ("note", "logits_absmax")}


@pytest.mark.parametrize("attention_type", PARAMETERS)
def test_outputs_and_gradients_equal_the_released_ones(attention_type: str) -> None:
    golden = load_file(GOLDEN / "model" / f"{attention_type}.safetensors")
    network = VisionTransformer(**geometry_of(attention_type)).eval()
    network.load_state_dict(part(golden, "state."))  # strict: the released names, all of them

    logits = network(golden["input"])
    loss = F.cross_entropy(logits, golden["labels"])
    loss.backward()

    features = network.forward_features(golden["input"])
    torch.testing.assert_close(features, golden["features"], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, golden["logits"], rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, golden["loss"][0], rtol=0, atol=1e-4)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    torch.testing.assert_close(gradients, part(golden, "grad."), rtol=0, atol=1e-4)


def test_inflation_equals_the_released_one() -> None:
    golden = load_file(GOLDEN / "model" / "inflate_image_vit.safetensors")
    expected = part(golden, "state.")
    depth = 1 + max(int(name.split(".")[1]) for name in expected if name.startswith("blocks."))
    network = VisionTransformer(**{**geometry_of("divided_space_time"), "depth": depth}).eval()
    report = load_state(network, part(golden, "vit."))

    # The head has another class count here, so it is random there and here.
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    assert state.keys() == {name for name in expected if not name.startswith("head.")}
    features = network.forward_features(golden["input"])
    torch.testing.assert_close(features, golden["features"], rtol=0, atol=1e-5)
    assert len(report.inflated) == 6 * depth
    assert report.unused == ["head.bias (7,)", "head.weight (7, 48)"]


@pytest.mark.parametrize(("attention_type", "parameters"), PARAMETERS.items())
def test_base_model_has_the_parameters_of_the_paper(attention_type: str, parameters: int) -> None:
    with torch.device("meta"):
        model = TimeSformer(attention_type=attention_type)
    assert sum(p.numel() for p in model.parameters()) == parameters
