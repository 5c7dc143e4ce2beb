"""Real training runs for the benchmarks: the engine's own objects, on files made or named."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from fvcore.common.config import CfgNode

from benchmarks.videos import made_videos
from timesformer.config import load_config
from timesformer.datasets.batch import Batch
from timesformer.distributed.launch import check_devices, launch, plan_run
from timesformer.distributed.process import Process
from timesformer.engine import build
from timesformer.engine.step import Training, train_step
from timesformer.logs import Silent
from timesformer.signals import StopSignals

LINES_OF_A_LIST = 4096

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "MODEL.MODEL_NAME": "timesformer_tiny",
        "DATA.NUM_FRAMES": 8,
        "DATA.SAMPLING_RATE": 32,
        "DATA.TRAIN_JITTER_SCALES": [128, 160],
        "DATA.TRAIN_CROP_SIZE": 112,
        "DATA.TEST_CROP_SIZE": 112,
        "TRAIN.BATCH_SIZE": 2,
    },
    "base": {
        "MODEL.MODEL_NAME": "timesformer_base",
        "DATA.NUM_FRAMES": 8,
        "DATA.SAMPLING_RATE": 32,
        "DATA.TRAIN_JITTER_SCALES": [256, 320],
        "DATA.TRAIN_CROP_SIZE": 224,
        "DATA.TEST_CROP_SIZE": 224,
        "TRAIN.BATCH_SIZE": 16,
        "TRAIN.PRECISION": "bf16",
    },
}
"""What is trained where no config is named; TRAIN.BATCH_SIZE is that of one process."""

COMMON: dict[str, Any] = {
    "TRAIN.DATASET": "kinetics",
    "TRAIN.EVAL_PERIOD": 0,
    "TEST.ENABLE": False,
    "SOLVER.OPTIMIZING_METHOD": "adamw",
    "SOLVER.BASE_LR": 1e-4,
    "TENSORBOARD.ENABLE": False,
    "MODEL.NUM_CLASSES": 400,
    "GLOBAL_BATCH_SIZE": 0,
}


def write_list(folder: Path, videos: Sequence[str]) -> None:
    """folder/train.csv: `videos` again and again, so that an epoch is longer than any benchmark."""
    lines = [f"{videos[n % len(videos)]} {n % 400}\n" for n in range(LINES_OF_A_LIST)]
    (folder / "train.csv").write_text("".join(lines), encoding="utf-8")


def videos_of(named: Path | None, folder: Path) -> list[str]:
    """The files of a list in the form `path label`; without one, files that are made for it."""
    if named is None:
        return [str(path) for path in made_videos(folder).values()]
    lines = named.read_text(encoding="utf-8").splitlines()
    paths = [line.rsplit(maxsplit=1)[0] for line in lines if line.strip()]
    return [str((named.parent / path).resolve()) for path in paths]


def run_config(file: Path | None, *settings: dict[str, Any], overrides: Sequence[str]) -> CfgNode:
    """The later settings win, and KEY VALUE in `overrides` over all."""
    merged: dict[str, Any] = {}
    for each in settings:
        merged |= each
    pairs = [item for pair in merged.items() for item in pair]
    return load_config(str(file) if file else None, [*pairs, *overrides])


def in_processes(cfg: CfgNode, measure: Callable[[CfgNode, Process], None]) -> None:
    """Call `measure` in every process of the run: those of torchrun or Slurm, or our own."""
    plan = plan_run(cfg, os.environ)
    check_devices(cfg, plan)
    launch(measure, cfg, plan)


def build_run(cfg: CfgNode, process: Process) -> Training:
    """All that a training run holds, with random weights; it writes nothing."""
    run = build.build_training(cfg, process, Silent(), StopSignals())
    run.model.train()
    return run


def new_feed(run: Training) -> None:
    """Give the run loader processes of its own, which have loaded nothing yet."""
    run.feed = build.feed(run.cfg, run.process, run.dataset, run.sampler, run.prepare.augment)


class SameBatch:
    """A feed that has one batch, on the device already."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def next(self) -> Batch:
        return self.batch


def same_batch(run: Training) -> None:
    """Let the run train on its first batch for ever, and stop its loader processes."""
    new_feed(run)
    run.feed.start()
    run.feed = SameBatch(run.feed.next())


def take_steps(run: Training, number: int) -> None:
    """Full steps, as many times."""
    for size in islice(full_steps(run), number):
        train_step(run, size)


def full_steps(run: Training) -> Iterator[int]:
    """For ever; a list of `write_list` is longer than that."""
    while True:
        yield run.sampler.global_batch


def together(run: Training, do: Callable[[], object]) -> float:
    """Seconds from when all processes begin until all have done it."""
    settle(run)
    start = time.perf_counter()
    do()
    settle(run)
    return time.perf_counter() - start


def settle(run: Training) -> None:
    """Wait for the device, and for the other processes."""
    if run.runtime.device.type == "cuda":
        torch.cuda.synchronize(run.runtime.device)
    if dist.is_initialized():
        dist.barrier()
