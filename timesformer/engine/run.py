"""A whole run: train, then test, in every process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer import config
from timesformer.distributed.launch import launch, plan_run
from timesformer.distributed.process import Process
from timesformer.engine.before import check_before
from timesformer.engine.build import build_testing, build_training
from timesformer.engine.guards import exhausted
from timesformer.engine.resume import start_from
from timesformer.engine.test import test
from timesformer.engine.train import train
from timesformer.errors import UserError
from timesformer.logs import Silent, build_reporter, start_logging, stop_logging

log = logging.getLogger("timesformer")


def start(cfg: CfgNode) -> None:
    """Run `cfg` in as many processes as it asks for, and wait for them."""
    plan = plan_run(cfg, os.environ)
    if plan.kind != "torchrun" or os.environ["RANK"] == "0":
        check_before(cfg, plan)
    launch(run, cfg, plan)


def run(cfg: CfgNode, process: Process) -> None:
    """What each process does."""
    start_logging(cfg.OUTPUT_DIR, process.rank)
    reporter = build_reporter(
        cfg.OUTPUT_DIR, is_main=process.is_main, tensorboard=cfg.TENSORBOARD.ENABLE
    )
    if process.is_main:
        log.info("processes: %d, started by %s", process.world_size, plan_run(cfg, os.environ).kind)
    try:
        if cfg.TRAIN.ENABLE:
            run_training(cfg, process, reporter)
        elif process.is_main:
            config.dump(cfg, Path(cfg.OUTPUT_DIR, "config_test.yaml"))
        if cfg.TEST.ENABLE:
            test(build_testing(cfg, process, reporter))
    except (OSError, RuntimeError) as error:
        if sentence := exhausted(error):
            raise UserError(sentence) from error
        raise
    finally:
        reporter.close()
        stop_logging()


def run_training(cfg: CfgNode, process: Process, reporter: Silent) -> None:
    # A function of its own, so that model, optimiser and loader processes are gone before the test.
    training = build_training(cfg, process, reporter)
    start_from(training.state, cfg, process)
    if process.is_main:
        # Only now: a run that is refused leaves the former one's file alone.
        config.dump(cfg, Path(cfg.OUTPUT_DIR, "config.yaml"))
    train(training)
