"""What is looked at before a run starts, by one process: a mistake is said at once, and once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fvcore.common.config import CfgNode

from timesformer.datasets.auto_augment import parse
from timesformer.datasets.build import build_dataset
from timesformer.datasets.sources import check_decoder
from timesformer.distributed.launch import Plan
from timesformer.engine.prepare import train_batch
from timesformer.errors import UserError
from timesformer.weights.load import weights_file
from timesformer.weights.sources import fetch
from timesformer.writers.build import check_writers


def check_before(cfg: CfgNode, plan: Plan) -> None:
    """UserError for what would stop the run now or hours later; makes the output folder."""
    make_output(cfg)
    check_writers(cfg)
    check_files(cfg)
    check_decoder(cfg.DATA.DECODER)
    if cfg.TRAIN.ENABLE:
        if cfg.AUG.AA_TYPE:
            parse(cfg.AUG.AA_TYPE)
        train_batch(cfg, plan.world_size, plan.local_world_size)
        build_dataset(cfg.TRAIN.DATASET, cfg, "train")
        if cfg.TRAIN.EVAL_PERIOD:
            build_dataset(cfg.TRAIN.DATASET, cfg, "val")
    if cfg.TEST.ENABLE:
        build_dataset(cfg.TEST.DATASET, cfg, "test")


def check_files(cfg: CfgNode) -> None:
    """UserError for weights that the run will want and that are not to be had; downloads them."""
    wanted = {
        "TRAIN.CHECKPOINT_FILE_PATH": cfg.TRAIN.ENABLE and cfg.TRAIN.CHECKPOINT_FILE_PATH,
        "TIMESFORMER.PRETRAINED_MODEL": cfg.TRAIN.ENABLE and cfg.TIMESFORMER.PRETRAINED_MODEL,
        "TEST.CHECKPOINT_FILE_PATH": cfg.TEST.ENABLE and cfg.TEST.CHECKPOINT_FILE_PATH,
    }
    if cfg.TRAIN.CHECKPOINT_FILE_PATH.endswith(".dcp") and not cfg.TRAIN.FINETUNE:
        del wanted["TRAIN.CHECKPOINT_FILE_PATH"]  # shares are continued as they are
    for key, source in wanted.items():
        try:
            if source:
                weights_file(fetch(source))
        except UserError as error:
            raise UserError(f"{key}: {error}") from error


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
