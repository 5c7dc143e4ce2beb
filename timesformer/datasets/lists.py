"""The registered data sets: from a config to the list of a split's videos.

A data set is a function of the config and the split that returns a `VideoList`; how clips are cut,
decoded and augmented is the same for all. To add your own, register one:

    @DATASET_REGISTRY.register("mine")
    def mine(cfg, split):
        return VideoList(paths, labels, source="where they come from")
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fvcore.common.config import CfgNode

from timesformer.annotations.csv_list import read_video_list
from timesformer.annotations.subset import check_first_exists, fraction_of_each_class, missing
from timesformer.annotations.table import VideoList
from timesformer.datasets.motion_shapes import ensure_motion_shapes
from timesformer.errors import UserError
from timesformer.registry import Registry

log = logging.getLogger("timesformer")

SPLITS = ("train", "val", "test")

# Data sets whose clips are a frame of each segment, as the released code has it.
SEGMENTED = ("ssv2", "jester")

DATASET_REGISTRY: Registry[Callable[[CfgNode, str], VideoList]] = Registry("data set")


def read_list(name: str, cfg: CfgNode, split: str) -> VideoList:
    """The videos of a split that a run uses: listed, there, and of the fraction asked for.

    Raises:
        UserError: unknown name or split, or lists that are missing or malformed.
    """
    if split not in SPLITS:
        raise UserError(f"'{split}' is not a split; known: {', '.join(SPLITS)}")
    videos = DATASET_REGISTRY.get(name)(cfg, split)
    check_first_exists(videos)
    if cfg.DATA.SKIP_MISSING:
        videos = without_missing(videos, report=Path(cfg.OUTPUT_DIR) / f"missing_{split}.txt")
    if split == "train" and cfg.DATA.TRAIN_FRACTION < 1:
        videos = fraction_of_each_class(videos, cfg.DATA.TRAIN_FRACTION, seed=cfg.DATA.SPLIT_SEED)
    return videos


def without_missing(videos: VideoList, *, report: Path) -> VideoList:
    """The videos that exist; the others are counted in the log and listed in the file `report`."""
    absent = np.fromiter(missing(videos), dtype=np.int64)
    if not len(absent):
        return videos
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("".join(f"{videos.paths[int(index)]}\n" for index in absent))
    log.warning(
        "%d of %d videos of %s do not exist and are left out; they are listed in %s",
        len(absent),
        len(videos),
        videos.source,
        report,
    )
    return videos.select(np.setdiff1d(np.arange(len(videos)), absent))


@DATASET_REGISTRY.register("video_csv")
def video_csv(cfg: CfgNode, split: str) -> VideoList:
    """Videos listed in PATH_TO_DATA_DIR/{train,val,test}.csv."""
    return read_video_list(
        os.path.join(data_folder(cfg), f"{split}.csv"),
        path_prefix=cfg.DATA.PATH_PREFIX,
        num_classes=cfg.MODEL.NUM_CLASSES,
    )


@DATASET_REGISTRY.register("kinetics")
def kinetics(cfg: CfgNode, split: str) -> VideoList:
    """Kinetics-400, 600 or 700."""
    return video_csv(cfg, split)


@DATASET_REGISTRY.register("motion_shapes")
def motion_shapes(cfg: CfgNode, split: str) -> VideoList:
    """The embedded data set, made in PATH_TO_DATA_DIR when it is not there yet."""
    if cfg.DATA.RANDOM_FLIP:
        raise UserError(
            "DATA.RANDOM_FLIP must be False on MotionShapes: a mirrored 'left' is a 'right'"
        )
    ensure_motion_shapes(cfg.DATA.PATH_TO_DATA_DIR)
    return video_csv(cfg, split)


def data_folder(cfg: CfgNode) -> str:
    """DATA.PATH_TO_DATA_DIR; UserError if it is no folder."""
    folder = str(cfg.DATA.PATH_TO_DATA_DIR)
    if not os.path.isdir(folder):
        raise UserError(
            f"DATA.PATH_TO_DATA_DIR is '{folder}', which is not a folder; set it to the one that "
            "holds the lists of the data set (see DATASET.md)"
        )
    return folder
