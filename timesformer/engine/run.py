"""A whole run: train, then test, in every process."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path

import torch
from fvcore.common.config import CfgNode

from timesformer import config
from timesformer.datasets.build import build_dataset
from timesformer.distributed.launch import Plan, check_devices, launch, plan_run
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
    check_devices(cfg, plan)
    if plan.kind != "torchrun" or os.environ["RANK"] == "0":
        check_inputs(cfg, plan)
    launch(run, cfg, plan)


def check_inputs(cfg: CfgNode, plan: Plan) -> None:
    """UserError, once and at the start, for what would stop the run now or hours later."""
    make_output(cfg)
    check_files(cfg)
    if cfg.TRAIN.ENABLE:
        train_batch(cfg, plan.world_size, plan.local_world_size)
        build_dataset(cfg.TRAIN.DATASET, cfg, "train")
        if cfg.TRAIN.EVAL_PERIOD:
            build_dataset(cfg.TRAIN.DATASET, cfg, "val")
    if cfg.TEST.ENABLE:
        build_dataset(cfg.TEST.DATASET, cfg, "test")


def check_files(cfg: CfgNode) -> None:
    """UserError for a checkpoint or weights file that the run will want and that is not there."""
    wanted = {
        "TRAIN.CHECKPOINT_FILE_PATH": cfg.TRAIN.ENABLE and cfg.TRAIN.CHECKPOINT_FILE_PATH,
        "TIMESFORMER.PRETRAINED_MODEL": cfg.TRAIN.ENABLE and cfg.TIMESFORMER.PRETRAINED_MODEL,
        "TEST.CHECKPOINT_FILE_PATH": cfg.TEST.ENABLE and cfg.TEST.CHECKPOINT_FILE_PATH,
    }
    for key, path in wanted.items():
        if path and not Path(path).is_file():
            raise UserError(f"{key}: there is no file {path}")


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


def exhausted(error: OSError | RuntimeError) -> str | None:
    """What to say where the machine, and not the code, is at its end."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"the disk is full ({error}); the checkpoints written so far are whole. Make room and "
            "start again to continue."
        )
    if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return (
            "out of memory. Try a smaller TRAIN.BATCH_SIZE (GLOBAL_BATCH_SIZE keeps the step) or "
            "TEST.BATCH_SIZE, TIMESFORMER.GRAD_CHECKPOINTING True, or TRAIN.PRECISION bf16."
        )
    return None


def run_training(cfg: CfgNode, process: Process, reporter: Silent) -> None:
    # A function of its own, so that model, optimiser and loader processes are gone before the test.
    training = build_training(cfg, process, reporter)
    start_from(training.state, cfg, process)
    if process.is_main:
        # Only now: a run that is refused leaves the former one's file alone.
        config.dump(cfg, Path(cfg.OUTPUT_DIR, "config.yaml"))
    train(training)
