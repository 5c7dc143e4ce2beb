"""Where a training run starts."""

from __future__ import annotations

import logging
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer.checkpoints import files
from timesformer.checkpoints.state import TrainState, check_same_run
from timesformer.distributed.process import Process, from_main
from timesformer.errors import UserError
from timesformer.models.build import load_pretrained, loading
from timesformer.weights.sources import fetch

log = logging.getLogger("timesformer")


def start_from(state: TrainState, cfg: CfgNode, process: Process) -> None:
    """Bring `state` to where the run starts. The order is the policy:

    1. TRAIN.AUTO_RESUME and a good checkpoint in OUTPUT_DIR: continue it (a finetuning run too).
    2. TRAIN.CHECKPOINT_FILE_PATH and TRAIN.FINETUNE: its weights, from epoch 0.
    3. TRAIN.CHECKPOINT_FILE_PATH alone: continue it.
    4. TIMESFORMER.PRETRAINED_MODEL, or the random weights the model was built with.

    Raises:
        UserError: the checkpoint is damaged, or of another experiment; or OUTPUT_DIR has
            checkpoints that AUTO_RESUME False would overwrite.
    """
    # The main process decides, so that all continue the same file.
    path = from_main(own_checkpoint(cfg) if process.is_main else None)
    if path is not None:
        restore(state, str(path), cfg)
    elif cfg.TRAIN.CHECKPOINT_FILE_PATH and cfg.TRAIN.FINETUNE:
        source = cfg.TRAIN.CHECKPOINT_FILE_PATH
        log.info("finetuning: %s", load_pretrained(state.model, source, **loading(cfg)))
    elif cfg.TRAIN.CHECKPOINT_FILE_PATH:
        restore(state, cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg)
    elif cfg.TIMESFORMER.PRETRAINED_MODEL:
        source = cfg.TIMESFORMER.PRETRAINED_MODEL
        log.info("%s", load_pretrained(state.model, source, **loading(cfg)))
    else:
        log.info("starting from random weights (TIMESFORMER.PRETRAINED_MODEL is not set)")


def own_checkpoint(cfg: CfgNode) -> Path | None:
    """The checkpoint of OUTPUT_DIR to continue."""
    if not files.epoch_paths(cfg.OUTPUT_DIR):
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


def restore(state: TrainState, source: str, cfg: CfgNode) -> None:
    checkpoint = files.read(fetch(source))
    check_same_run(checkpoint, source, cfg)
    state.restore(checkpoint, source)
    log.info("continuing %s after %d of %d epochs", source, state.epochs_done, cfg.SOLVER.MAX_EPOCH)
    if state.epochs_done >= cfg.SOLVER.MAX_EPOCH:
        log.info("all epochs are done: nothing is left to train")
