"""A whole run: train, then test, in every process."""

from __future__ import annotations

import logging
import os
import tempfile
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
from timesformer.errors import UserError
from timesformer.logs import build_reporter, start_logging, stop_logging

log = logging.getLogger("timesformer")


def start(cfg: CfgNode) -> None:
    """Run `cfg` in as many processes as it asks for, and wait for them."""
    make_output(cfg)
    plan = plan_run(cfg, os.environ)
    if cfg.TRAIN.ENABLE:
        # Checked here too, so that a batch that cannot be split is said once, before any process.
        train_batch(cfg, plan.world_size, plan.local_world_size)
    launch(run, cfg, plan)


def make_output(cfg: CfgNode) -> None:
    """Make OUTPUT_DIR; UserError now, and not after hours, if the run could not write to it."""
    output, predictions = Path(cfg.OUTPUT_DIR), Path(cfg.TEST.SAVE_RESULTS_PATH)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"OUTPUT_DIR {output} cannot be written to: {error}") from error
    if cfg.TEST.SAVE_RESULTS_PATH and predictions.is_dir():
        raise UserError(f"TEST.SAVE_RESULTS_PATH {predictions} is a folder; name a .npz file")


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
