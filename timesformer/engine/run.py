"""A whole run: train, then test, in every process."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer import config
from timesformer.datasets.build import build_dataset
from timesformer.distributed.launch import Plan, launch, plan_run
from timesformer.distributed.process import Process
from timesformer.engine.build import build_testing, build_training
from timesformer.engine.prepare import train_batch
from timesformer.engine.resume import start_from
from timesformer.engine.test import test
from timesformer.engine.train import train
from timesformer.errors import UserError
from timesformer.logs import Silent, build_reporter, start_logging, stop_logging

log = logging.getLogger("timesformer")


def start(cfg: CfgNode) -> None:
    """Run `cfg` in as many processes as it asks for, and wait for them."""
    plan = plan_run(cfg, os.environ)
    if os.environ.get("RANK", "0") == "0":
        check_inputs(cfg, plan)
    launch(run, cfg, plan)


def check_inputs(cfg: CfgNode, plan: Plan) -> None:
    """UserError, once and at the start, for what would stop the run now or hours later."""
    make_output(cfg)
    if cfg.TRAIN.ENABLE:
        train_batch(cfg, plan.world_size, plan.local_world_size)
        build_dataset(cfg.TRAIN.DATASET, cfg, "train")
        if cfg.TRAIN.EVAL_PERIOD:
            build_dataset(cfg.TRAIN.DATASET, cfg, "val")
    if cfg.TEST.ENABLE:
        build_dataset(cfg.TEST.DATASET, cfg, "test")


def make_output(cfg: CfgNode) -> None:
    """Make the folders that the run will write to; UserError if it could not."""
    predictions = Path(cfg.TEST.SAVE_RESULTS_PATH)
    if cfg.TEST.SAVE_RESULTS_PATH and predictions.is_dir():
        raise UserError(f"TEST.SAVE_RESULTS_PATH {predictions} is a folder; name a .npz file")
    folders = {"OUTPUT_DIR": cfg.OUTPUT_DIR}
    if cfg.TEST.SAVE_RESULTS_PATH:
        folders["TEST.SAVE_RESULTS_PATH"] = predictions.parent
    for key, folder in folders.items():
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"{key}: the folder {folder} cannot be written to ({error})") from error


def run(cfg: CfgNode, process: Process) -> None:
    """What each process does."""
    start_logging(cfg.OUTPUT_DIR, process.rank)
    reporter = build_reporter(
        cfg.OUTPUT_DIR, is_main=process.is_main, tensorboard=cfg.TENSORBOARD.ENABLE
    )
    try:
        if cfg.TRAIN.ENABLE:
            run_training(cfg, process, reporter)
        if cfg.TEST.ENABLE:
            test(build_testing(cfg, process, reporter))
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
