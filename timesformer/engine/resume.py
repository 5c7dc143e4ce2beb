"""Where a training run starts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fvcore.common.config import CfgNode

from timesformer.checkpoints import files
from timesformer.checkpoints.snapshot import Room, on_cpu
from timesformer.checkpoints.state import changed_surroundings, check_same_run
from timesformer.distributed.process import from_main, is_sharded
from timesformer.errors import UserError
from timesformer.models.build import load_pretrained, loading
from timesformer.weights.sources import fetch

if TYPE_CHECKING:
    from timesformer.engine.step import Training

log = logging.getLogger("timesformer")


def start_from(run: Training) -> None:
    """Bring the state to where the run starts. The order is the policy:

    1. TRAIN.AUTO_RESUME and a good checkpoint in OUTPUT_DIR: continue it (a finetuning run too).
    2. TRAIN.CHECKPOINT_FILE_PATH and TRAIN.FINETUNE: its weights, from epoch 0.
    3. TRAIN.CHECKPOINT_FILE_PATH alone: continue it.
    4. TIMESFORMER.PRETRAINED_MODEL, or the random weights the model was built with.

    Raises:
        UserError: the checkpoint is damaged, or of another experiment; or OUTPUT_DIR has
            checkpoints that AUTO_RESUME False would overwrite.
    """
    cfg, state = run.cfg, run.state
    # The main process decides, so that all continue the same file.
    path = from_main(own_checkpoint(cfg) if run.process.is_main else None)
    if path is not None:
        restore(run, str(path))
    elif cfg.TRAIN.CHECKPOINT_FILE_PATH and cfg.TRAIN.FINETUNE:
        source = cfg.TRAIN.CHECKPOINT_FILE_PATH
        log.info("finetuning: %s", load_pretrained(state.model, source, **loading(cfg)))
    elif cfg.TRAIN.CHECKPOINT_FILE_PATH:
        restore(run, cfg.TRAIN.CHECKPOINT_FILE_PATH)
    elif cfg.TIMESFORMER.PRETRAINED_MODEL:
        source = cfg.TIMESFORMER.PRETRAINED_MODEL
        log.info("%s", load_pretrained(state.model, source, **loading(cfg)))
    else:
        log.info("starting from random weights (TIMESFORMER.PRETRAINED_MODEL is not set)")


def own_checkpoint(cfg: CfgNode) -> Path | None:
    """The checkpoint of OUTPUT_DIR to continue."""
    if not files.all_paths(cfg.OUTPUT_DIR):
        return None
    if not cfg.TRAIN.AUTO_RESUME:
        raise UserError(
            f"{files.folder(cfg.OUTPUT_DIR)} already holds checkpoints, which this run would "
            "overwrite. Set TRAIN.AUTO_RESUME True to continue them, or another OUTPUT_DIR."
        )
    newest = files.newest_good(cfg.OUTPUT_DIR)
    if newest is None:
        raise UserError(
            f"none of the checkpoints in {files.folder(cfg.OUTPUT_DIR)} can be read (the log says "
            "why). Remove them to start anew, or choose another OUTPUT_DIR."
        )
    return newest


def room(run: Training) -> Room:
    """Where the tensors of a checkpoint in shares are put."""
    if not is_sharded(run.cfg, run.process):
        return on_cpu
    from timesformer.distributed.sharding import room_for

    return room_for(run.state.model, run.state.optimizer)


def restore(run: Training, source: str) -> None:
    """Continue `source`, and say whether as if nothing had happened."""
    cfg, state = run.cfg, run.state
    checkpoint = files.read(fetch(source), room(run))
    differences = check_same_run(checkpoint, source, cfg)
    differences += changed_surroundings(checkpoint, run.saver.surroundings)
    state.restore(checkpoint, source, steps_of_epoch=run.num_steps)
    state.samples_done = min(state.samples_done, len(run.dataset))
    state.awaits_validation &= run.val_feed is not None
    log.info(
        "continuing %s after %d of %d epochs%s",
        source,
        state.epochs_done,
        cfg.SOLVER.MAX_EPOCH,
        f" and {state.samples_done} of {len(run.dataset)} videos of the next"
        if state.samples_done
        else "",
    )
    if state.epochs_done >= cfg.SOLVER.MAX_EPOCH:
        log.info("all epochs are done: nothing is left to train")
        return
    for difference in differences:
        log.info("resuming, but %s", difference)
    if differences:
        log.info("the run goes on as an equivalent one, not bit for bit as it would have")
    if state.ema and not checkpoint.get("ema_state"):
        log.info("resuming, but the average of the weights starts here")
