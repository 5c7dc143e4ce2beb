"""A run before it is started: two steps, a batch of the test, and what the whole of it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from timesformer.checkpoints.atomic import hindrance_of
from timesformer.datasets.video import VideoDataset
from timesformer.distributed.launch import plan_run
from timesformer.distributed.process import Process
from timesformer.engine.before import check_before
from timesformer.engine.build import build_testing
from timesformer.engine.evaluate import Scorer, Scoring
from timesformer.engine.feed import Feed
from timesformer.engine.prepare import usable_cores
from timesformer.engine.resume import own_checkpoint
from timesformer.engine.step import Training, train_step
from timesformer.engine.test import check_classes, load_tested_weights
from timesformer.errors import UserError
from timesformer.logs import Silent, peak_memory_gb
from timesformer.optim.optimizers import set_lr
from timesformer.optim.schedules import lr_at
from timesformer.profiling.alone import synchronize
from timesformer.profiling.memory import predict
from timesformer.rehearsal.stage import built, first_step_for_ever, stage
from timesformer.weights.load import read_weights

LOOKED_AT = 3  # videos that are read, to see how long one takes


@dataclass(frozen=True)
class Pace:
    """Seconds for one of something: to compute it, and to read its videos with all workers."""

    computing: float
    reading: float
    waits: bool
    """Whether nothing is computed while videos are read (DATA_LOADER.NUM_WORKERS 0)."""

    @property
    def seconds(self) -> float:
        both = self.computing, self.reading
        return sum(both) if self.waits else max(both)

    def __str__(self) -> str:
        words = f"{self.computing:.3g} s of computing, {self.reading:.3g} s of reading videos"
        slow = not self.waits and self.reading > self.computing
        return f"{words}, which it waits for" if slow else words


def dry_run(cfg: CfgNode) -> str:
    """Do a little of everything that the run does; what there is to say of it, a line each.

    Nothing is written to OUTPUT_DIR.

    Raises:
        UserError: what would stop the run at its start or in its first steps.
    """
    folder = cfg.OUTPUT_DIR
    if hindrance := hindrance_of(Path(folder)):
        raise UserError(
            f"OUTPUT_DIR: the folder {folder} cannot be written to, because of {hindrance}"
        )
    lines: dict[str, str] = {}
    if cfg.TRAIN.ENABLE and (checkpoint := own_checkpoint(cfg)):
        lines["would continue"] = f"{checkpoint}; the times below are from the start"
    seconds = 0.0
    with stage(cfg) as staged:
        check_before(staged, plan_run(cfg, os.environ))
        if cfg.TRAIN.ENABLE:
            seconds += try_training(built(staged), lines)
        if cfg.TEST.ENABLE:
            seconds += try_test(staged, lines)
    lines["whole run"] = f"about {spelt(seconds)}, as far as two steps can tell"
    lines["would write"] = f"{', '.join(outputs(cfg))} in {cfg.OUTPUT_DIR}; nothing was written"
    return "\n".join(f"{f'{name}:':<16}{words}" for name, words in lines.items())


def try_training(run: Training, lines: dict[str, str]) -> float:
    """Two steps, and a pass of the validation; the seconds of all epochs."""
    cfg, device = run.cfg, run.runtime.device
    videos = first_step_for_ever(run)
    set_lr(run.state.optimizer, lr_at(0, cfg))
    first, second = (timed(device, lambda: train_step(run, videos)) for _ in range(2))
    step = Pace(second, videos * reading(run.dataset, cfg), waits(cfg))
    predicted = predict(cfg).peak(run.clips_of_a_pass) / 1e9
    epochs = cfg.SOLVER.MAX_EPOCH
    seconds = epochs * run.num_steps * step.seconds
    lines["a step"] = f"{videos * cfg.AUG.NUM_SAMPLE} clips: {step} (the first took {first:.3g} s)"
    lines["memory"] = (
        f"{peak_memory_gb(device):.2f} GB measured; {predicted:.2f} GB predicted for tensors alone"
    )
    lines["training"] = f"{epochs} epochs of {run.num_steps} steps: {spelt(seconds)}"
    if run.val_feed is None or run.val_dataset is None:
        return seconds
    number = -(-epochs // cfg.TRAIN.EVAL_PERIOD)
    one = try_scoring(run.scorer, run.val_feed, run.val_dataset, cfg)
    lines["validation"] = f"{number} times {len(run.val_dataset)} videos: {spelt(number * one)}"
    return seconds + number * one


def try_test(cfg: CfgNode, lines: dict[str, str]) -> float:
    """A batch of the test, with its weights if they are there; the seconds of all of it."""
    run = build_testing(cfg, Process(), Silent())
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        weights = read_weights(cfg.TEST.CHECKPOINT_FILE_PATH, averaged=cfg.TEST.USE_EMA)
        check_classes(weights, run.dataset.videos.class_names)
        load_tested_weights(run.scorer.model, weights, cfg.TIMESFORMER.POS_EMBED_RESIZE)
    seconds = try_scoring(run.final_form(run.scorer), run.feed, run.dataset, cfg)
    lines["test"] = (
        f"{len(run.dataset)} videos, {run.dataset.num_views} views of each: {spelt(seconds)}"
    )
    return seconds


def try_scoring(scorer: Scorer, feed: Feed, dataset: VideoDataset, cfg: CfgNode) -> float:
    """Score a batch; the seconds of all videos."""
    feed.start()
    batch = feed.next()
    scorer.model.eval()

    @torch.inference_mode()
    def score() -> None:
        scoring = Scoring(scorer)
        with scorer.within():
            scoring.add(batch)
            scoring.finish()

    computing = timed(scorer.runtime.device, score) / len(batch.labels)
    return len(dataset) * Pace(computing, reading(dataset, cfg), waits(cfg)).seconds


def timed(device: torch.device, work: Callable[[], None]) -> float:
    """Seconds until the device has done it."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def reading(dataset: VideoDataset, cfg: CfgNode) -> float:
    """Seconds to read one video, where all loader processes read at once."""
    number = min(LOOKED_AT, len(dataset))
    started = time.perf_counter()
    for index in range(number):
        dataset[index]
    each = (time.perf_counter() - started) / number
    return each / max(1, min(cfg.DATA_LOADER.NUM_WORKERS, usable_cores()))


def waits(cfg: CfgNode) -> bool:
    return cfg.DATA_LOADER.NUM_WORKERS == 0


def spelt(seconds: float) -> str:
    return str(timedelta(seconds=max(1, round(seconds))))


def outputs(cfg: CfgNode) -> list[str]:
    """What the run would leave in OUTPUT_DIR."""
    names = ["stdout.log", "metrics.jsonl"]
    if cfg.TENSORBOARD.ENABLE:
        names.append("tensorboard/")
    if cfg.TRAIN.ENABLE:
        number = -(-cfg.SOLVER.MAX_EPOCH // cfg.TRAIN.CHECKPOINT_PERIOD)
        kept = min(number, cfg.TRAIN.KEEP_CHECKPOINTS or number)
        names += ["config.yaml", f"checkpoints/ with {kept} of epochs and the best"]
    if cfg.TEST.ENABLE:
        names += ["predictions.npz", "class_accuracy.csv", "failed_videos.csv"]
        names += ["report.html"] if cfg.TEST.REPORT else []
    return names
