"""A whole run: train, then test, in every process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer import config
from timesformer.distributed.launch import launch, plan_run
from timesformer.distributed.process import Process
from timesformer.engine.build import build_testing, build_training
from timesformer.engine.prepare import train_batch
from timesformer.engine.resume import start_from
from timesformer.engine.test import test
from timesformer.engine.train import train
from timesformer.logs import build_reporter, start_logging, stop_logging

log = logging.getLogger("timesformer")


def start(cfg: CfgNode) -> None:
    """Run `cfg` in as many processes as it asks for, and wait for them."""
    plan = plan_run(cfg, os.environ)
    if cfg.TRAIN.ENABLE:
        # Checked here too, so that a batch that cannot be split is said once, before any process.
        train_batch(cfg, plan.world_size, plan.local_world_size)
    launch(run, cfg, plan)


def run(cfg: CfgNode, process: Process) -> None:
    """What each process does."""
    start_logging(cfg.OUTPUT_DIR, process.rank)
    if process.is_main:
        config.dump(cfg, Path(cfg.OUTPUT_DIR, "config.yaml"))
    reporter = build_reporter(
        cfg.OUTPUT_DIR, is_main=process.is_main, tensorboard=cfg.TENSORBOARD.ENABLE
    )
    try:
        if cfg.TRAIN.ENABLE:
            training = build_training(cfg, process, reporter)
            start_from(training.state, cfg, process)
            train(training)
        if cfg.TEST.ENABLE:
            test(build_testing(cfg, process, reporter))
    finally:
        reporter.close()
        stop_logging()
