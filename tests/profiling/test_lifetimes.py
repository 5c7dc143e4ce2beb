"""Bytes are counted from the operator that makes them until nothing refers to them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from timesformer.profiling.lifetimes import PARTS, Lifetimes

MIB = 2**20
WORKSPACE = PARTS.index("workspace")


def living(lives: Lifetimes) -> int:
    return int(lives.living.sum())


def test_a_storage_counts_once_and_until_it_is_forgotten() -> None:
    with Lifetimes(7) as lives:
        one = torch.empty(MIB, dtype=torch.uint8)
        view = one[5:].view(-1)
        assert living(lives) == MIB
        del one
        assert living(lives) == MIB
        other = view + 1
        assert living(lives) == 2 * MIB - 5
        del view, other
        assert living(lives) == 0
    assert lives.moments().sum(axis=(1, 2)).max() == 2 * MIB - 5


def test_what_grows_with_the_clips_is_told_apart() -> None:
    with Lifetimes(7, quantum=512) as lives:
        kept = [torch.empty(7 * 100, dtype=torch.uint8), torch.empty(513, dtype=torch.uint8)]
    assert lives.living[0].tolist() == [1024, 100]
    assert len(kept) == 2


def test_parts_and_what_does_not_count() -> None:
    layer = nn.Linear(4, 4, bias=False)
    with Lifetimes(7, besides=layer.parameters()) as lives:
        inputs = torch.empty(2, 4)
        lives.part = "activations"
        outcome = layer(inputs)
        lives.part = "workspace"
        outcome.sum().backward()
        assert lives.living[WORKSPACE, 0] >= 64
        assert layer.weight.grad is not None
        lives.move(layer.weight.grad, "gradients")
        lives.keep(1000, "gradients")
    by_part = dict(zip(PARTS, lives.living.sum(axis=1).tolist(), strict=True))
    assert by_part["inputs"] == 32
    assert by_part["gradients"] == 64 + 1000
    layer.weight.grad = None
    assert lives.living[PARTS.index("gradients"), 0] == 1000


def test_what_an_operator_hides_counts_for_a_moment() -> None:
    with Lifetimes(7, hidden=lambda operator, arguments: 100) as lives:
        one = torch.empty(10, dtype=torch.uint8)
    assert lives.moments().sum() == 110
    assert living(lives) == len(one)


@pytest.mark.parametrize("keep", [True, False])
def test_several_outcomes_of_an_operator(keep: bool) -> None:
    with Lifetimes(7) as lives:
        values, indices = torch.rand(10).sort()
        if not keep:
            del indices
        assert living(lives) == 10 * 4 + (80 if keep else 0)
        assert len(values) == 10
