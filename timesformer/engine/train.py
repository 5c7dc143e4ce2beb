"""The training loop.

B clips of one process, V of each video (AUG.NUM_SAMPLE), C channels, T frames, H W pixels, K
classes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from fvcore.common.config import CfgNode
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from timesformer.checkpoints.state import TrainState, save
from timesformer.datasets.batch import Batch
from timesformer.datasets.on_device import TrainInput, of_each_clip
from timesformer.datasets.prefetch import prefetch
from timesformer.datasets.sampler import TrainSampler
from timesformer.datasets.video import VideoDataset
from timesformer.distributed.process import Process, share_buffers, total
from timesformer.engine.cadence import Clock, is_due
from timesformer.engine.evaluate import Scorer, validate
from timesformer.engine.guards import FailureCounter, LossGuard, check_weights
from timesformer.engine.prepare import Runtime, step_seed
from timesformer.evaluation.metrics import TrainMeter, summarize
from timesformer.logs import Silent, host_memory_gb, peak_memory_gb
from timesformer.optim.losses import Loss
from timesformer.optim.optimizers import set_lr
from timesformer.optim.schedules import lr_at

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
    loader: DataLoader[Batch]
    val_loader: DataLoader[Batch] | None
    scorer: Scorer
    prepare: TrainInput
    loss: Loss
    reporter: Silent
    meter: TrainMeter
    epoch_sums: Tensor  # of the meter, over the epoch so far
    num_failed: int  # unreadable videos of the epoch so far, over all processes
    clock: Clock
    loss_guard: LossGuard
    failures: FailureCounter


def train(run: Training) -> None:
    """From where the state is to SOLVER.MAX_EPOCH: train, validate, save, epoch by epoch."""
    cfg, state, last = run.cfg, run.state, run.cfg.SOLVER.MAX_EPOCH
    while state.epochs_done < last:
        train_epoch(run, state.epochs_done)
        state.epochs_done += 1
        share_buffers(state.model)
        if run.process.is_main:  # one process speaks; the others end with it
            check_weights(state.model, state.epochs_done)
        is_best = False
        if run.val_loader and is_due(state.epochs_done, cfg.TRAIN.EVAL_PERIOD, last):
            is_best = validate_epoch(run)
        if run.process.is_main:
            due = is_due(state.epochs_done, cfg.TRAIN.CHECKPOINT_PERIOD, last)
            save(state, cfg, is_best=is_best, is_due=due)
        run.clock.restart()


def train_epoch(run: Training, epoch: int) -> None:
    """Every video of the training set once, in steps of `GLOBAL_BATCH_SIZE` clips."""
    run.sampler.epoch = epoch
    run.failures.start_epoch()
    run.model.train()
    batches = prefetch(run.loader, run.runtime.device, run.prepare.augment)
    sizes = run.sampler.step_sizes()
    with run.reporter.progress(len(sizes), f"epoch {epoch + 1}") as bar:
        for done, size in enumerate(sizes):
            set_lr(run.state.optimizer, lr_at(epoch + done / len(sizes), run.cfg))
            train_step(run, batches, size, step=epoch * len(sizes) + done)
            bar.update()
            if is_due(done + 1, run.cfg.LOG_PERIOD, len(sizes)):
                bar.set_postfix_str(report(run, epoch, done + 1, len(sizes)))
    finish_epoch(run, epoch)


def train_step(run: Training, batches: Iterator[Batch], size: int, step: int) -> None:
    """One optimiser step over `size` videos of all processes, in as many passes as it takes."""
    seed = step_seed(run.cfg.RNG_SEED, step, run.process.rank)
    torch.manual_seed(seed)
    num_passes, num_clips = run.sampler.num_passes(size), size * run.cfg.AUG.NUM_SAMPLE
    for done in range(num_passes):
        with gradient_sync(run.model, last=done == num_passes - 1):
            backward(run, next(batches), num_clips, step, random.Random(f"{seed} {done}"))
    scaler, optimizer = run.state.scaler, run.state.optimizer
    if run.cfg.SOLVER.CLIP_GRAD_L2NORM:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(run.model.parameters(), run.cfg.SOLVER.CLIP_GRAD_L2NORM)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    run.clock.tick(num_clips)


def gradient_sync(model: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Gradients travel between the processes once a step, in the backward of its last pass."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def backward(run: Training, batch: Batch, num_clips: int, step: int, rng: random.Random) -> None:
    """Forward and backward of this process's share of one pass.

    The losses are summed, divided by the step's `num_clips`, multiplied by the number of processes,
    because DistributedDataParallel divides by that: the step's gradient is the mean over its clips
    however they are spread over passes and processes.
    """
    run.failures.add(batch)
    labels, weights, indices = of_each_clip(batch, batch.labels, batch.weights, batch.indices)
    clips, targets = run.prepare(batch, rng)  # (B, C, T, H, W)
    with run.runtime.autocast():
        logits = run.model(clips)  # (B, K)
    losses = run.loss(logits, targets, run.cfg.MODEL.LABEL_SMOOTHING)  # (B,)
    mean = (losses * weights).sum() * (run.process.world_size / num_clips)
    run.state.scaler.scale(mean).backward()
    run.meter.update(losses.detach(), logits.detach(), labels, weights)
    run.loss_guard.add(step, losses.detach(), indices.tolist())


def report(run: Training, epoch: int, done: int, num_steps: int) -> str:
    """Log the steps since the last report; the same in short.

    The only place where steps wait for the device (but for fp16, whose loss scaling always does).
    """
    run.loss_guard.check(run.dataset.videos.paths)
    sums = total(run.meter.reset())
    run.epoch_sums += sums.cpu()
    run.num_failed = check_failures(run)
    steps_done = epoch * num_steps + done
    values = {
        "epoch": f"{epoch + 1}/{run.cfg.SOLVER.MAX_EPOCH}",
        "iter": f"{done}/{num_steps}",
        **summarize(sums),
        "lr": run.state.optimizer.param_groups[0]["lr"],
        "clips_per_second": run.clock.read(),
        "eta": run.clock.left(steps_done),
        "peak_memory_gb": peak_memory_gb(run.runtime.device),
        "host_memory_gb": host_memory_gb(),
    }
    run.reporter.numbers("train_iter", steps_done, values)
    log.info(
        "epoch %(epoch)s  step %(iter)s  loss %(loss).4f  top-1 error %(top1_err).1f %%  "
        "lr %(lr).2e  %(clips_per_second).0f clips/s  left %(eta)s  %(peak_memory_gb).1f GB",
        values,
    )
    return "loss {loss:.4f}, top-1 error {top1_err:.1f} %".format_map(values)


def check_failures(run: Training) -> int:
    """Unreadable videos of the epoch so far, over all processes; UserError for too many."""
    failed = torch.tensor([len(run.failures.paths)], device=run.runtime.device)
    num_failed = int(total(failed))
    if run.process.is_main:
        run.failures.check(num_failed)
    return num_failed


def finish_epoch(run: Training, epoch: int) -> None:
    """File the means over the whole epoch."""
    values = {
        "epoch": f"{epoch + 1}/{run.cfg.SOLVER.MAX_EPOCH}",
        **summarize(run.epoch_sums),
        "num_failed": run.num_failed,
    }
    run.reporter.numbers("train_epoch", epoch + 1, values)
    run.epoch_sums.zero_()


def validate_epoch(run: Training) -> bool:
    """Validate on the centre views; whether this is the best so far (on the main process)."""
    assert run.val_loader is not None
    with run.reporter.progress(len(run.val_loader), "validation") as bar:
        values = validate(run.scorer, run.val_loader, bar)
    if values is None:
        return False
    is_best = values["top1_err"] < run.state.best_top1_err
    run.state.best_top1_err = min(values["top1_err"], run.state.best_top1_err)
    values |= {
        "epoch": f"{run.state.epochs_done}/{run.cfg.SOLVER.MAX_EPOCH}",
        "min_top1_err": run.state.best_top1_err,
    }
    run.reporter.numbers("val_epoch", run.state.epochs_done, values)
    log.info(
        "epoch %(epoch)s  validation: top-1 error %(top1_err).2f %%  "
        "top-5 error %(top5_err).2f %%  best %(min_top1_err).2f %%",
        values,
    )
    return is_best
