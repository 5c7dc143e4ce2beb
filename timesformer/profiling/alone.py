"""Steps of a run in this process alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from fvcore.common.config import CfgNode

from timesformer.distributed.launch import check_devices, plan_run
from timesformer.errors import UserError

if TYPE_CHECKING:
    from timesformer.engine.step import Training


def check_alone(cfg: CfgNode) -> None:
    """UserError for a run of several processes; it says what one of them does."""
    plan = plan_run(cfg, os.environ)
    if plan.world_size > 1:
        share = max(1, cfg.TRAIN.BATCH_SIZE // plan.local_world_size)
        raise UserError(
            f"{plan.world_size} processes are asked for (NUM_GPUS, NUM_PROCS, NUM_SHARDS, or a "
            "launcher), and this is done in one. To see what one of them does, add NUM_GPUS "
            f"{min(cfg.NUM_GPUS, 1)} NUM_PROCS 1 NUM_SHARDS 1 TRAIN.BATCH_SIZE {share} "
            f"GLOBAL_BATCH_SIZE {cfg.GLOBAL_BATCH_SIZE // plan.world_size}."
        )
    check_devices(cfg, plan)


def full_steps(run: Training) -> Iterator[int]:
    """Videos of one step after the other, in one epoch after the other, each from its start.

    The short step at the end of an epoch is left out where there are others.
    """
    while True:
        run.feed.start(run.state.epochs_done)
        sizes = run.sampler.step_sizes()
        yield from [size for size in sizes if size == run.sampler.global_batch] or sizes
        run.state.samples_done = 0
        run.state.epochs_done += 1


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
