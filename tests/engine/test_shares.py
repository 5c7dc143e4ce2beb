"""TRAIN.PARALLEL fsdp: whole runs in shares, with the numbers of ddp."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.engine.runs import losses, metrics, said, train
from tests.torch_versions import needs_fsdp
from timesformer.checkpoints import files

pytestmark = needs_fsdp

TOLERANCE = 1e-5  # of losses after many steps: sums are added up in another order
CHANGES = {
    "NUM_PROCS": 2,
    "TRAIN__BATCH_SIZE": 4,
    "TRAIN__EMA_DECAY": 0.9,
    "TRAIN__EMA_EVAL": True,
    "SOLVER__CLIP_GRAD_L2NORM": 1.0,
    "TRAIN__KEEP_CHECKPOINTS": 2,
}


def run(videos: Path, output: Path, **changes: object) -> None:
    train(videos, output, **(CHANGES | changes))


@pytest.mark.slow
def test_shares_have_the_numbers_of_whole_models(videos: Path, tmp_path: Path) -> None:
    shared, whole, again = tmp_path / "shared", tmp_path / "whole", tmp_path / "again"
    run(videos, shared, TRAIN__PARALLEL="fsdp")
    run(videos, whole)
    assert losses(shared) == pytest.approx(losses(whole), abs=TOLERANCE)
    for kind in ("val_epoch", "test_final"):
        assert metrics(shared, kind) == metrics(whole, kind)
    folder = files.folder(str(shared))
    assert "checkpoint_epoch_00002.dcp is now one file" in said(shared)
    names = {path.name for path in folder.iterdir()}
    assert {"checkpoint_best.dcp", "checkpoint_epoch_00001.dcp"} <= names

    # Another number of processes goes on from the shares, in shares or not.
    for number, parallel in ((1, "ddp"), (4, "fsdp")):
        shutil.copytree(shared, again / parallel)
        for name in ("pyth", "json", "dcp.json"):
            files.epoch_path(str(again / parallel), 2).with_suffix(f".{name}").unlink()
        shutil.rmtree(files.epoch_path(str(again / parallel), 2).with_suffix(".dcp"))
        size = {"TRAIN__BATCH_SIZE": 4, "NUM_PROCS": number, "TRAIN__PARALLEL": parallel}
        run(videos, again / parallel, **size)
        assert "checkpoint_epoch_00001.dcp after 1 of 2 epochs" in said(again / parallel)
        second = losses(whole)[len(losses(whole)) // 2 :]
        assert losses(again / parallel)[-len(second) :] == pytest.approx(second, abs=TOLERANCE)
        assert metrics(again / parallel, "test_final")[-1] == metrics(whole, "test_final")[0]


@pytest.mark.slow
def test_shares_start_from_a_file_of_whole_weights(videos: Path, tmp_path: Path) -> None:
    source, ways = tmp_path / "source", {}
    run(videos, source, SOLVER__MAX_EPOCH=1)
    start = {
        "TIMESFORMER__PRETRAINED_MODEL": files.epoch_path(str(source), 1),
        "SOLVER__MAX_EPOCH": 1,
        "TEST__ENABLE": False,
    }
    for parallel in ("ddp", "fsdp"):
        run(videos, tmp_path / parallel, TRAIN__PARALLEL=parallel, **start)
        ways[parallel] = losses(tmp_path / parallel)
    assert ways["fsdp"] == pytest.approx(ways["ddp"], abs=TOLERANCE)
