"""Device, precision and processes: what the model itself knows nothing of."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from timesformer.distributed.devices import device_of
from timesformer.distributed.process import Process, is_sharded
from timesformer.errors import UserError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

# What DistributedDataParallel calls it, by PyTorch's version.
BUFFERS_ARE_SENT = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)


@dataclass(frozen=True)
class Runtime:
    """Where and in which arithmetic a model runs."""

    device: torch.device
    precision: str
    compiled: bool = False  # TRAIN.COMPILE

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.precision not in AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, AUTOCAST[self.precision])

    def for_size(self, clips: int, *, usual: int) -> AbstractContextManager[None]:
        """The context of the forward and the backward pass of `clips`.

        Compiled code is for `usual` of them; to compile for others would take longer than it saves.
        The backward pass computes blocks again, where activations were not kept.
        """
        if not self.compiled or clips == usual:
            return nullcontext()
        return torch.compiler.set_stance("force_eager")

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling for fp16, which would lose small gradients; does nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")


def prepare_device(cfg: CfgNode, process: Process) -> Runtime:
    """This process's runtime; sets, process-wide, its threads and its float32 arithmetic."""
    device = device_of(cfg, process)
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cpu_threads(process.local_world_size, cfg.DATA_LOADER.NUM_WORKERS))
    tf32 = cfg.TRAIN.PRECISION == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return Runtime(device, cfg.TRAIN.PRECISION, compiled=cfg.TRAIN.COMPILE != "none")


def cpu_threads(num_processes: int, num_workers: int) -> int:
    """Threads that leave each loader worker and each process of this machine a core of its own.

    With more, threads that share a core wait for each other: a tenth of the speed was seen.
    """
    return max(1, usable_cores() // num_processes - num_workers)


def usable_cores() -> int:
    """Cores that this process may use: a job on a cluster has fewer than its node."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_model(model: nn.Module, cfg: CfgNode, runtime: Runtime, process: Process) -> nn.Module:
    """The model on its device, then (it must be there already) wrapped for several processes.

    Unwrapped where a pass may have to be tried again: see `step.accumulate_in_memory`.
    """
    model.to(runtime.device)
    if process.world_size == 1 or cfg.TRAIN.HALVE_BATCH_ON_OOM:
        return model
    if is_sharded(cfg, process):
        from timesformer.distributed import sharding  # a second of imports, for who needs it

        sharding.check_sharding(model)
        return sharding.shard(model, runtime.device, runtime.precision)
    options: dict[str, Any] = {
        "device_ids": [runtime.device] if runtime.device.type == "cuda" else None,
        "gradient_as_bucket_view": True,
        # Only statistics change; any other buffer would be sent anew before each forward pass.
        BUFFERS_ARE_SENT: any(isinstance(module, _BatchNorm) for module in model.modules()),
    }
    return DistributedDataParallel(model, **options)


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of everything random in the model in one step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


@dataclass(frozen=True)
class TrainBatch:
    """Clips over all processes: of one optimiser step, and of one forward pass of it."""

    step: int
    one_pass: int

    @property
    def num_passes(self) -> int:
        return self.step // self.one_pass


def train_batch(cfg: CfgNode, world_size: int, local_world_size: int) -> TrainBatch:
    """The batch that TRAIN.BATCH_SIZE (of a node) and GLOBAL_BATCH_SIZE (of a step) come to.

    Raises:
        UserError: the processes cannot share the batch evenly, passes cannot add up to a step, or
            there is nothing to mix.
    """
    batch = cfg.TRAIN.BATCH_SIZE
    unit = local_world_size * cfg.AUG.NUM_SAMPLE  # clips with one video in each process
    if batch % unit:
        raise UserError(
            f"TRAIN.BATCH_SIZE {batch} is split over the {local_world_size} processes of a node "
            f"(NUM_GPUS, NUM_PROCS or torchrun), in groups of AUG.NUM_SAMPLE {cfg.AUG.NUM_SAMPLE}: "
            f"use a multiple of {unit}"
        )
    if cfg.MIXUP.ENABLED and batch == unit:
        raise UserError(
            f"MIXUP.ENABLED mixes the videos of a process in a pass, but TRAIN.BATCH_SIZE {batch} "
            f"gives each process one alone: use at least {2 * unit}"
        )
    one_pass = batch * (world_size // local_world_size)
    step = cfg.GLOBAL_BATCH_SIZE or one_pass
    if step % one_pass:
        nearest = max(1, round(step / one_pass)) * one_pass
        raise UserError(
            f"GLOBAL_BATCH_SIZE {step} cannot be reached with {one_pass} clips a pass "
            f"(TRAIN.BATCH_SIZE x nodes): use a multiple such as {nearest}, or 0 for no "
            "accumulation"
        )
    return TrainBatch(step, one_pass)
