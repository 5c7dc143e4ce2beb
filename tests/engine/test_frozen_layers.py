"""SOLVER.FROZEN_LAYERS in whole runs: one process or two, models whole or shared, recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.runs import final_weights, losses, train
from tests.torch_versions import needs_fsdp

pytestmark = pytest.mark.slow


def run(videos: Path, output: Path, **changes: Any) -> Path:
    """Of two epochs of a network of two blocks, of which the second learns."""
    return train(videos, output, **{"SOLVER__FROZEN_LAYERS": 2, "TEST__ENABLE": False, **changes})


@pytest.fixture(scope="module")
def alone(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(videos, tmp_path_factory.mktemp("alone") / "out")


def test_what_is_frozen_is_what_another_run_started_from(
    alone: Path, videos: Path, tmp_path: Path
) -> None:
    """The seed decides the first values, whatever the learning rate."""
    other = run(videos, tmp_path / "other", SOLVER__BASE_LR=1e-2)
    first, second = final_weights(alone), final_weights(other)
    same = {name for name in first if torch.equal(first[name], second[name])}
    is_low = ("model.cls_token", "model.pos_embed", "model.time_embed", "model.patch_embed")
    assert same == {name for name in first if name.startswith((*is_low, "model.blocks.0."))}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"NUM_PROCS": 2}, id="ddp"),
        pytest.param({"NUM_PROCS": 2, "TRAIN__PARALLEL": "fsdp"}, id="fsdp", marks=needs_fsdp),
        pytest.param({"TIMESFORMER__GRAD_CHECKPOINTING": True}, id="recomputed"),
    ],
)
def test_the_numbers_are_those_of_one_process(
    alone: Path, videos: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert losses(run(videos, tmp_path / "out", **changes)) == pytest.approx(
        losses(alone), rel=1e-4
    )
