"""Which device is a process's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from fvcore.common.config import CfgNode

if TYPE_CHECKING:
    from timesformer.distributed.process import Process


def device_of(cfg: CfgNode, process: Process) -> torch.device:
    """This process's GPU, or the CPU when NUM_GPUS is 0."""
    if not cfg.NUM_GPUS:
        return torch.device("cpu")
    # One of several, and yet it sees a single GPU: its own, as with Slurm's --gpus-per-task=1.
    sees_its_own = process.local_world_size > 1 and torch.cuda.device_count() == 1
    return torch.device("cuda", 0 if sees_its_own else process.local_rank)
