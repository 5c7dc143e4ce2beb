"""A whole run: train, then test, in every process."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer import config
from timesformer.checkpoints.files import remove_leftovers
from timesformer.checkpoints.lock import OutputLock
from timesformer.config.defaults import KEYS
from timesformer.config.load import flatten
from timesformer.distributed import slurm
from timesformer.distributed.launch import check_devices, launch, plan_run
from timesformer.distributed.process import Process
from timesformer.engine.before import check_before
from timesformer.engine.build import build_testing, build_training
from timesformer.engine.compiled import what_failed
from timesformer.engine.guards import exhausted
from timesformer.engine.resume import start_from
from timesformer.engine.test import test
from timesformer.engine.train import train
from timesformer.errors import Interrupted, UserError
from timesformer.logs import (
    FILED_ONLY,
    Silent,
    log_to_file,
    start_logging,
    stop_logging,
)
from timesformer.signals import StopSignals
from timesformer.writers.build import build_reporter

log = logging.getLogger("timesformer")


def start(cfg: CfgNode) -> None:
    """Run `cfg` in as many processes as it asks for, and wait for them."""
    plan = plan_run(cfg, os.environ)
    check_devices(cfg, plan)
    if plan.spawns or plan.rank == 0:
        check_before(cfg, plan)
    launch(run, cfg, plan)


def run(cfg: CfgNode, process: Process) -> None:
    """What each process does.

    Raises:
        Interrupted: a signal asked the run to stop.
    """
    start_logging(process.rank)
    try:
        with StopSignals() as stop:
            if not process.is_main:
                train_and_test(cfg, process, stop)
                return
            with output_lock(cfg, process):
                log_to_file(cfg.OUTPUT_DIR)
                job = slurm.words_of_job(os.environ)
                log.info("processes: %s%s", plan_run(cfg, os.environ), job)
                remove_leftovers(cfg.OUTPUT_DIR)
                train_and_test(cfg, process, stop)
    finally:
        stop_logging()


def output_lock(cfg: CfgNode, process: Process) -> OutputLock:
    """OUTPUT_DIR for this run alone."""
    return OutputLock(
        cfg.OUTPUT_DIR,
        # A part of our own job that is cut off ends, and lets go, when it counts as hung.
        patience_with_own_job=60 * (cfg.HANG_TIMEOUT_MINUTES + 1),
        waiting=lambda: process.watch.at("waiting for OUTPUT_DIR"),  # which is no hang
    )


def train_and_test(cfg: CfgNode, process: Process, stop: StopSignals) -> None:
    """The run, what it says and how it ends."""
    settings = dict(flatten(cfg))
    reporter = build_reporter(cfg, settings, is_main=process.is_main)
    is_done = False
    try:
        reporter.text("config", f"```yaml\n{cfg.dump()}```")
        with in_sentences(process, stop):
            if cfg.TRAIN.ENABLE:
                run_training(cfg, process, reporter, stop)
            elif process.is_main:
                config.dump(cfg, Path(cfg.OUTPUT_DIR, "config_test.yaml"))
            if cfg.TEST.ENABLE:
                test(build_testing(cfg, process, reporter))
        reporter.results({k: v for k, v in settings.items() if v != KEYS[k].default})
        is_done = True
    except Interrupted as interruption:
        if process.is_main:
            tell_and_requeue(cfg, interruption)
        raise
    except UserError as error:
        log.error("ended: %s", error, extra=FILED_ONLY)  # the door shows it
        raise
    finally:
        reporter.close(failed=not is_done)


@contextmanager
def in_sentences(process: Process, stop: StopSignals) -> Iterator[None]:
    """Inside, what the machine or another process does to this one is told to a person."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if stop.signum:  # the others have been asked to stop as well, and were faster
            raise Interrupted(stop.signum, saved=False) from error
        if sentence := exhausted(error) or what_failed(error) or process.watch.sentence(error):
            raise UserError(sentence) from error
        raise


def tell_and_requeue(cfg: CfgNode, interruption: Interrupted) -> None:
    """Say how the run was stopped, and give a Slurm job back to the queue if that was asked for."""
    name = signal.Signals(interruption.signum).name
    state = "the state is saved" if interruption.saved else "nothing more was to be saved"
    log.info("stopped by %s: %s; the same command continues", name, state)
    is_ours = slurm.is_ours_to_requeue(os.environ)
    if is_ours and slurm.goes_back(name, cfg.TRAIN.REQUEUE_SIGNALS, os.environ):
        slurm.requeue(os.environ)


def run_training(cfg: CfgNode, process: Process, reporter: Silent, stop: StopSignals) -> None:
    # A function of its own, so that model, optimiser and loader processes are gone before the test.
    training = build_training(cfg, process, reporter, stop)
    start_from(training)
    reporter.resume(training.state.steps_done)
    if process.is_main:
        # Only now: a run that is refused leaves the former one's file alone.
        config.dump(cfg, Path(cfg.OUTPUT_DIR, "config.yaml"))
    with training.saver:
        train(training)
