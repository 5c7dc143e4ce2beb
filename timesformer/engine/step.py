"""One optimiser step: as many passes as it takes, on as many processes as there are.

B clips of one process, V of each video (AUG.NUM_SAMPLE), C channels, T frames, H W pixels, K
classes.
"""

from __future__ import annotations

import logging
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from timesformer.datasets.on_device import of_each_clip
from timesformer.distributed.agreement import Agreement
from timesformer.distributed.gradients import average_gradients
from timesformer.distributed.watch import doing
from timesformer.engine.guards import OUT_OF_MEMORY, is_out_of_memory
from timesformer.engine.prepare import step_seed
from timesformer.errors import UserError

if TYPE_CHECKING:
    from timesformer.checkpoints.state import TrainState
    from timesformer.datasets.batch import Batch
    from timesformer.datasets.on_device import TrainInput
    from timesformer.datasets.sampler import TrainSampler
    from timesformer.datasets.video import VideoDataset
    from timesformer.distributed.process import Process
    from timesformer.engine.cadence import Clock
    from timesformer.engine.evaluate import Scorer
    from timesformer.engine.feed import Feed
    from timesformer.engine.guards import FailureCounter, LossGuard
    from timesformer.engine.prepare import Runtime
    from timesformer.engine.saving import Saver
    from timesformer.evaluation.metrics import TrainMeter
    from timesformer.logs import Silent
    from timesformer.optim.losses import Loss
    from timesformer.signals import StopSignals
    from timesformer.writers.showing import Showing

log = logging.getLogger("timesformer")


@dataclass
class Training:
    """All that a training run holds; `build.build_training` makes it."""

    cfg: CfgNode
    process: Process
    runtime: Runtime
    state: TrainState
    model: nn.Module  # state.model, wrapped for several processes
    dataset: VideoDataset
    sampler: TrainSampler
    feed: Feed
    val_dataset: VideoDataset | None
    val_feed: Feed | None
    scorer: Scorer
    prepare: TrainInput
    loss: Loss
    reporter: Silent
    showing: Showing
    meter: TrainMeter
    clock: Clock
    loss_guard: LossGuard
    failures: FailureCounter
    saver: Saver
    stop: StopSignals
    agreement: Agreement = field(default_factory=Agreement)
    window_sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    num_failed: int = 0  # unreadable videos of the epoch so far, over all processes

    @property
    def num_steps(self) -> int:
        """Optimiser steps of an epoch."""
        return self.sampler.num_steps()

    @property
    def clips_of_a_pass(self) -> int:
        """Of this process, but for the last pass of an epoch."""
        return self.sampler.per_pass // self.process.world_size * self.cfg.AUG.NUM_SAMPLE

    @property
    def place(self) -> str:
        """Where the run is, for people."""
        done = self.num_steps - self.sampler.num_steps(self.state.samples_done)
        return f"epoch {self.state.epochs_done + 1}, step {done + 1}/{self.num_steps}"


def train_step(run: Training, size: int) -> None:
    """One optimiser step over `size` videos of all processes."""
    if run.cfg.TRAIN.HALVE_BATCH_ON_OOM:
        accumulate_in_memory(run, size)
    else:
        accumulate(run, size)
    update_weights(run)
    run.state.steps_done += 1
    run.state.samples_done += size
    run.clock.tick(size * run.cfg.AUG.NUM_SAMPLE)


def accumulate(run: Training, size: int) -> None:
    """The gradient of the step, in as many passes as it takes."""
    seed = step_seed(run.cfg.RNG_SEED, run.state.steps_done, run.process.rank)
    torch.manual_seed(seed)
    num_passes, num_clips = run.sampler.num_passes(size), size * run.cfg.AUG.NUM_SAMPLE
    for done in range(num_passes):
        with doing("waiting for videos"):
            batch = run.feed.next()
        with doing("computing"), gradient_sync(run.model, last=done == num_passes - 1):
            backward(run, batch, num_clips, random.Random(f"{seed} {done}"))


def gradient_sync(model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Gradients travel between the processes once a step, in the backward of its last pass."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def backward(run: Training, batch: Batch, num_clips: int, rng: random.Random) -> None:
    """Forward and backward of this process's share of one pass.

    The losses are summed, divided by the step's `num_clips`, multiplied by the number of processes,
    because DistributedDataParallel divides by that: the step's gradient is the mean over its clips
    however they are spread over passes and processes.
    """
    run.failures.add(batch)
    labels, weights, indices = of_each_clip(batch, batch.labels, batch.weights, batch.indices)
    clips, targets = run.prepare(batch, rng)  # (B, C, T, H, W)
    with run.runtime.for_size(len(clips), usual=run.clips_of_a_pass):
        with run.runtime.autocast():
            logits = run.model(clips)  # (B, K)
        losses = run.loss(logits, targets, run.cfg.MODEL.LABEL_SMOOTHING)  # (B,)
        mean = (losses * weights).sum() * (run.process.world_size / num_clips)
        run.state.scaler.scale(mean).backward()
    run.meter.update(losses.detach(), logits.detach(), labels, weights)
    run.loss_guard.add(run.place, losses.detach(), indices.tolist())


def update_weights(run: Training) -> None:
    """Step the optimiser, clip before and average after where that is asked for."""
    scaler, optimizer = run.state.scaler, run.state.optimizer
    if run.cfg.SOLVER.CLIP_GRAD_L2NORM:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(run.model.parameters(), run.cfg.SOLVER.CLIP_GRAD_L2NORM)
    run.saver.before_change()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    if run.state.ema:
        run.state.ema.update(run.state.steps_done + 1)


def accumulate_in_memory(run: Training, size: int) -> None:
    """`accumulate`, in smaller passes when memory runs out, on all processes or none.

    Gradients are exchanged afterwards: a process without memory would leave the others waiting in
    the middle of a backward pass.

    Raises:
        UserError: a single clip in each process is too much.
    """
    while not all_have_room(run, size):
        halve_passes(run)
    average_gradients(run.state.model)


def all_have_room(run: Training, size: int) -> bool:
    """Try to `accumulate`; False if any process ran out, and then as if it had not been tried."""
    before = run.meter.sums.clone()
    buffers = [buffer.clone() for buffer in run.state.model.buffers()]
    try:
        accumulate(run, size)
        failed = False
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        failed = True
    if run.agreement.ask([failed]).answer() == [0]:
        return True
    run.meter.sums = before
    for buffer, former in zip(run.state.model.buffers(), buffers, strict=True):
        buffer.copy_(former)
    run.state.optimizer.zero_grad(set_to_none=True)
    free_failed_backward()
    if run.runtime.device.type == "cuda":
        torch.cuda.empty_cache()
    return False


def free_failed_backward() -> None:
    """Let go of what a backward pass of this thread was about to do when it failed.

    PyTorch keeps it, and by it the activations, until the next one begins
    (https://github.com/pytorch/pytorch/issues/82218); a forward pass may need that memory first.
    """
    torch.zeros((), requires_grad=True).backward()


def halve_passes(run: Training) -> None:
    """Half as many clips in a pass, twice as many passes; the step's samples are loaded again."""
    smaller = run.sampler.per_pass // 2
    if run.sampler.per_pass % 2 or smaller % run.process.world_size:
        raise UserError(f"{OUT_OF_MEMORY} A pass cannot be halved any further.")
    run.sampler.per_pass = smaller
    log.warning(
        "out of memory: from here on %d clips a pass instead of %d, and as many a step as before. "
        "The run goes on as an equivalent one, not bit for bit",
        smaller * run.cfg.AUG.NUM_SAMPLE,
        2 * smaller * run.cfg.AUG.NUM_SAMPLE,
    )
    run.feed.start(run.sampler.epoch, run.state.samples_done)
