"""Rollout of every scheme against products of dense matrices; what is raw against the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.interpretation.dense_rollout import (
    STEPS,
    dense_network,
    dense_relevance,
    dense_rollout,
)
from tests.models.dense_reference import CLASS, Token
from tests.models.tiny import clip, randomise, tiny_network
from timesformer.errors import UserError
from timesformer.interpretation.attention import ClassRow, raw_attention, relevance, rollout
from timesformer.models import VisionTransformer
from timesformer.models.attention import ATTENTION_SCHEMES, Block

SCHEMES = sorted(STEPS)
GRIDS = [(4, 2, 2), (3, 3, 5), (1, 2, 4), (2, 3, 1)]


def network_and_clip(
    scheme: str, grid: tuple[int, int, int] = (4, 2, 2), batch: int = 1, **changes: Any
) -> tuple[VisionTransformer, Tensor]:
    frames, height, width = grid
    size = {"img_size": (8 * height, 8 * width), "num_frames": frames}
    network = tiny_network(scheme, **{**size, "depth": 3, **changes}).double().eval()
    randomise(network)
    return network, clip(batch, frames, 8 * height, 8 * width).double()


def named(row: ClassRow, index: int = 0) -> dict[Token, float]:
    """By (patch, frame), as the dense reference has it."""
    patches = row.patches[index].flatten(1).tolist()  # (T, N)
    weights = {(p, t): v for t, frame in enumerate(patches) for p, v in enumerate(frame)}
    return {(CLASS, 0): row.cls_token[index].item(), **weights}


def test_all_shipped_schemes_are_here() -> None:
    assert set(ATTENTION_SCHEMES.names()) == set(SCHEMES)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_rollout_is_the_product_of_dense_matrices(scheme: str, grid: tuple[int, int, int]) -> None:
    network, pixels = network_and_clip(scheme, grid)
    row = rollout(network, pixels)
    assert row.patches.shape == (1, *grid)
    assert named(row) == pytest.approx(dense_rollout(network, pixels), rel=0, abs=1e-12)
    assert (row.patches > 0).all()
    assert (row.cls_token + row.patches.sum(dim=(1, 2, 3))).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_relevance_is_the_product_of_dense_matrices(
    scheme: str, grid: tuple[int, int, int]
) -> None:
    network, pixels = network_and_clip(scheme, grid)
    expected = dense_relevance(network, pixels, 3)
    assert named(relevance(network, pixels, [3])) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert sum(expected.values()) > 1.001  # there is something to be equal in


@pytest.mark.parametrize("scheme", SCHEMES)
def test_raw_attention_is_that_of_the_class_token(scheme: str) -> None:
    grid = (3, 3, 5)
    network, pixels = network_and_clip(scheme, grid)
    _, layers, names = dense_network(network, pixels)
    seen = list(raw_attention(network, pixels))
    assert [each.layer for each in seen] == [i for i in range(3) for _ in STEPS[scheme]]
    for each, layer in zip(seen, layers, strict=True):
        for head, matrix in enumerate(layer.probabilities):
            expected = raw_reference(matrix, layer.num_copies, names)
            at = {(p, t): each.heads[0, head, t].flatten()[p].item() for p, t in expected}
            assert at == pytest.approx(expected, rel=0, abs=1e-12)


def raw_reference(matrix: Tensor, num_copies: int, names: list[Token]) -> dict[Token, float]:
    """The mean row of the class tokens; of all tokens where there is none."""
    rows = matrix[:num_copies]
    keys = [(CLASS, 0)] * num_copies + names[-(len(matrix) - num_copies) :]
    if num_copies == 0:
        is_class = torch.tensor([patch == CLASS for patch, _ in keys])
        rows = matrix[is_class] if is_class.any() else matrix
    values = zip(keys, rows.mean(dim=0).tolist(), strict=True)
    return {key: value for key, value in values if key[0] != CLASS}


def test_raw_attentions_have_names() -> None:
    names = {}
    for scheme in SCHEMES:
        network, pixels = network_and_clip(scheme)
        seen = list(raw_attention(network, pixels, layers=[-1]))
        assert {each.layer for each in seen} == {2}
        names[scheme] = [(each.name, each.is_of_class) for each in seen]
    assert names == {
        "space_only": [("space", True)],
        "joint_space_time": [("space and time", True)],
        "divided_space_time": [("temporal", False), ("space", True)],
        "sparse_local_global": [("local", True), ("global", True)],
        "axial": [("temporal", False), ("width", True), ("height", True)],
    }


@pytest.mark.parametrize("scheme", SCHEMES)
def test_clips_of_a_batch_are_apart(scheme: str) -> None:
    network, pixels = network_and_clip(scheme, batch=2)
    pixels = torch.cat([pixels, pixels.flip(0)[:1] / 2])
    together = rollout(network, pixels), relevance(network, pixels, [0, 4, 2])
    for index, label in enumerate([0, 4, 2]):
        one = pixels[index : index + 1]
        alone = rollout(network, one), relevance(network, one, [label])
        for row, other in zip(together, alone, strict=True):
            assert named(row, index) == pytest.approx(named(other), rel=1e-9)


def test_the_model_stays_as_it_is() -> None:
    network, pixels = network_and_clip("divided_space_time")
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    relevance(network, pixels, [0])
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


class RowsAfterTime(ATTENTION_SCHEMES.get("axial")):  # type: ignore[misc]
    """A scheme that somebody else wrote: axial attention without its last step."""

    def over_space(self, tokens: Tensor, grid: Any, *, only_cls: bool) -> Tensor:
        update = self.width_fc(self.over_rows(self.width_norm1(tokens), grid))
        return update[:, :1] if only_cls else update


def test_a_scheme_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTENTION_SCHEMES._entries, "rows_after_time", RowsAfterTime)
    monkeypatch.setitem(STEPS, "rows_after_time", STEPS["axial"][:2])
    network, pixels = network_and_clip("rows_after_time", (2, 3, 2))
    expected = dense_rollout(network, pixels)
    assert named(rollout(network, pixels)) == pytest.approx(expected, rel=0, abs=1e-12)
    assert [each.name for each in raw_attention(network, pixels, [0])] == ["temporal", "width"]


class WithAConvolution(Block):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mixed = torch.nn.Conv1d(24, 24, 1)


def test_what_cannot_be_followed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTENTION_SCHEMES._entries, "convolution", WithAConvolution)
    network, pixels = network_and_clip("convolution")
    with pytest.raises(UserError, match="through WithAConvolution: .* part 'mixed', a Conv1d"):
        rollout(network, pixels)


def test_what_does_not_exist_is_named() -> None:
    network, pixels = network_and_clip("divided_space_time")
    with pytest.raises(UserError, match="There is no layer 3: the network has 3, from 0"):
        list(raw_attention(network, pixels, [3]))
    with pytest.raises(UserError, match="There is no class 5: the model has 5, from 0"):
        relevance(network, pixels, [5])
    with pytest.raises(UserError, match="A Linear has no attention to look at"):
        rollout(torch.nn.Linear(1, 1), pixels)
