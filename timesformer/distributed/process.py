"""Who this process is among the processes of a run, and what they say to each other.

The only room that talks to `torch.distributed`; everything here is a no-op in a single process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")

# Long enough for the slowest rank to finish its share of a test set before results are gathered.
TIMEOUT = timedelta(hours=2)

SECONDS_TO_LET_GO = 0.5


@dataclass(frozen=True)
class Process:
    """One of `world_size` processes, `local_world_size` of them on each node."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def join(process: Process, device: torch.device, **rendezvous: Any) -> None:
    """Enter the process group; `rendezvous` tells `init_process_group` where the others are."""
    if process.world_size == 1:
        return
    on_gpu = device.type == "cuda"
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        rank=process.rank,
        world_size=process.world_size,
        timeout=TIMEOUT,
        device_id=device if on_gpu else None,
        **rendezvous,
    )


def leave() -> None:
    """Leave the process group together, if there is one."""
    if dist.is_initialized():
        dist.barrier()
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
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather(value: T) -> list[T] | None:
    """Every process's `value` in rank order on the main process, None elsewhere."""
    if not dist.is_initialized():
        return [value]
    boxes: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(value, boxes)
    return boxes


def total(values: torch.Tensor) -> torch.Tensor:
    """The elementwise sum of `values` over all processes."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def share_buffers(module: nn.Module) -> None:
    """Gives every process the main one's buffers: batch norms count what their own process saw."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)
