"""Who this process is among the processes of a run, and what they say to each other.

Everything here is a no-op in a single process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from fvcore.common.config import CfgNode
from torch import nn

from timesformer.distributed.rendezvous import PATIENCE
from timesformer.distributed.watch import Watch, doing

T = TypeVar("T")

SECONDS_TO_LET_GO = 0.5


@dataclass(frozen=True)
class Process:
    """One of `world_size` processes, `local_world_size` of them on each node; `watch` ends it."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    watch: Watch = field(default_factory=Watch, compare=False)

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def is_sharded(cfg: CfgNode, process: Process) -> bool:
    """Whether each process holds a share of the model; one alone holds all of it."""
    return cfg.TRAIN.PARALLEL == "fsdp" and process.world_size > 1


def join(process: Process, device: torch.device, store: dist.Store) -> None:
    """Enter the process group, whose members find each other through `store`."""
    on_gpu = device.type == "cuda"
    with doing("connecting to the other processes"):
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=store,
            rank=process.rank,
            world_size=process.world_size,
            timeout=PATIENCE,  # who waits for others that still work does not hang: see `watch`
            device_id=device if on_gpu else None,
        )


def leave(process: Process) -> None:
    """Leave the process group together, if there is one."""
    if dist.is_initialized():
        with doing("leaving together"):
            dist.barrier()
        process.watch.close()
        # gloo's threads need the interpreter's lock to let go of the last collective's tensors, and
        # destroying the group waits for those threads with the lock held: a deadlock, seen once in
        # ten runs with torch 2.6. Asleep, this thread does not hold it.
        time.sleep(SECONDS_TO_LET_GO)
        dist.destroy_process_group()


def from_main(value: T) -> T:
    """The main process's `value`, everywhere."""
    if not dist.is_initialized():
        return value
    box = [value]
    with doing("waiting for the main process"):
        dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: T) -> list[T] | None:
    """Every process's `value` in rank order on the main process, None elsewhere."""
    if not dist.is_initialized():
        return [value]
    boxes: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    with doing("gathering from all processes"):
        dist.gather_object(value, boxes)
    return boxes


def total(values: torch.Tensor) -> torch.Tensor:
    """The elementwise sum of `values` over all processes."""
    if dist.is_initialized():
        with doing("adding up over all processes"):
            dist.all_reduce(values)
    return values


def share_buffers(module: nn.Module) -> None:
    """Gives every process the main one's buffers: batch norms count what their own process saw."""
    if dist.is_initialized():
        with doing("sharing buffers"):
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)
